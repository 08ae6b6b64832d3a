"""What a strategy is: parameters with bounds, and a causal function from candles to a stance per bar.

Causal means that the stance of a bar depends on that bar and at most `warmup` - 1 bars before it, never on a later
one: then a backtest over years and a live run over a short window give the same stance for the same bar.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from apps.domain.errors import Problem, Refused
from apps.domain.strategies import parameters, sources
from apps.domain.strategies.parameters import Parameters, choice, parameter, switch

__all__ = [
    "FLAT",
    "LONG",
    "SHORT",
    "Candles",
    "ExitPlan",
    "Flags",
    "Floats",
    "Parameters",
    "Several",
    "Stances",
    "Strategy",
    "build",
    "choice",
    "code_hash",
    "ordered",
    "parameter",
    "schema",
    "sides",
    "switch",
]

Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Stances: TypeAlias = npt.NDArray[np.int8]
LONG, FLAT, SHORT = 1, 0, -1


class Candles(NamedTuple):
    """Bars as arrays of one length, oldest first; `at` is when each began, in seconds since the epoch."""

    at: npt.NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


class ExitPlan(NamedTuple):
    """Ways out that a strategy plans itself: per bar, for the entry that the stance of that bar leads to.

    `stop_loss` and `take_profit` are prices, `trailing_distance` is how far in price a trailing stop stays behind; NaN
    stands for none.
    """

    stop_loss: Floats
    take_profit: Floats
    trailing_distance: Floats


class Strategy(ABC):
    """One way to look at candles. A plug-in names itself, its parameters, and says what stance each bar leads to."""

    name: ClassVar[str]
    Parameters: ClassVar[type[Parameters]]
    usual: ClassVar[Mapping[str, str]] = {}  # conventions it is meant for, where a backtest is not told others

    @property
    @abstractmethod
    def warmup(self) -> int:
        """The number of bars that the first stance needs, its own bar included."""

    @abstractmethod
    def stances(self, candles: Candles) -> Stances:
        """Return +1 (long), 0 (flat) or -1 (short) for each bar; 0 before `warmup` bars are there."""

    def weights(self, candles: Candles) -> Floats | None:
        """Return the share of the equity to hold after each bar, -1 to 1, in place of stances; None: there is none."""
        return None

    def exit_plan(self, candles: Candles) -> ExitPlan | None:
        """Return the ways out that belong to the entries; None: the account's own apply alone."""
        return None


class Several(Strategy):
    """A strategy that looks at several instruments at once, on bars that all of them have.

    `fewest` and `most` say how many it takes. A plug-in says its weights in `weigh`; the rest calls `weights_of`.
    """

    fewest: ClassVar[int] = 1
    most: ClassVar[int] = 1000

    @abstractmethod
    def weigh(self, markets: Sequence[Candles]) -> Floats:
        """Return the share of the equity, -1 to 1, as an array of bars by markets; 0 before `warmup` bars are there."""

    def weights_of(self, markets: Sequence[Candles]) -> Floats:
        """Return what `weigh` says. Raises Refused when there are too few or too many, or their bars differ."""
        if not self.fewest <= len(markets) <= self.most:
            span = f"{self.fewest} to {self.most}" if self.fewest < self.most else f"exactly {self.most}"
            raise Refused(_markets(str(len(markets)), f"must be {span} for {self.name}", "choose others"))
        if any(not np.array_equal(one.at, markets[0].at) for one in markets):
            raise Refused(_markets("bars of different times", "must have the same bars", "keep the bars all have"))
        return self.weigh(markets)

    def weights(self, candles: Candles) -> Floats | None:
        """Return the weights of a single instrument. Raises Refused where one is not enough."""
        return self.weights_of([candles])[:, 0]

    def stances(self, candles: Candles) -> Stances:
        """Return the side of the weight of a single instrument. Raises Refused where one is not enough."""
        return sides(self.weights_of([candles])[:, 0])


def sides(weights: Floats) -> Stances:
    """Return the stance that a weight amounts to: its sign."""
    return np.sign(weights).astype(np.int8)


def schema(plugin: type[Strategy]) -> dict[str, Any]:
    """Describe the parameters of a strategy as a JSON schema, for forms and the API."""
    return {
        "title": plugin.name,
        "description": (plugin.__doc__ or plugin.name).strip().partition("\n")[0],
        "type": "object",
        "additionalProperties": False,
        "properties": parameters.properties(plugin.Parameters),
    }


def build(plugin: type[Strategy], values: Mapping[str, Any]) -> Strategy:
    """Make a strategy of its parameters, defaults for those not given. Raises Refused with every problem found."""
    fitting = parameters.chosen(plugin.Parameters, values)
    return plugin(plugin.Parameters(**fitting))  # type: ignore[call-arg] # each plug-in takes its own parameters


def ordered(chosen: Parameters, lower: str, upper: str) -> None:
    """Raise Refused unless the parameter `lower` is less than the parameter `upper`."""
    low, high = getattr(chosen, lower), getattr(chosen, upper)
    if low >= high:
        rule, remedy = f"must be less than {upper} ({high})", f"lower it or raise {upper}"
        raise Refused(Problem(field=lower, value=str(low), rule=rule, remedy=remedy))


def code_hash(plugin: type[Strategy]) -> str:
    """Return the SHA-256 of the plug-in's source and of what it shares with others, as hexadecimal digits."""
    return sources.digest(plugin.__module__)


def _markets(value: str, rule: str, remedy: str) -> Problem:
    return Problem(field="instruments", value=value, rule=rule, remedy=remedy)
