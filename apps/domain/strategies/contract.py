"""What a strategy is: parameters with bounds, and a causal function from candles to a stance per bar.

Causal means that the stance of a bar depends on that bar and at most `warmup` - 1 bars before it, never on a later
one: then a backtest over years and a live run over a short window give the same stance for the same bar.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import Field, field, fields
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from apps.domain.errors import Problem, Refused

Floats: TypeAlias = npt.NDArray[np.float64]
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


class Parameters(Protocol):
    """What the parameters of a strategy are: a frozen dataclass whose every field was made by `parameter`."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


class Strategy(ABC):
    """One way to look at candles. A plug-in names itself, its parameters, and says what stance each bar leads to."""

    name: ClassVar[str]
    Parameters: ClassVar[type[Parameters]]

    @property
    @abstractmethod
    def warmup(self) -> int:
        """The number of bars that the first stance needs, its own bar included."""

    @abstractmethod
    def stances(self, candles: Candles) -> Stances:
        """Return +1 (long), 0 (flat) or -1 (short) for each bar; 0 before `warmup` bars are there."""


def parameter(default: float, help_text: str, *, lowest: float, highest: float) -> Any:
    """Declare a number that a person may choose, whole when the default is; bounds are included."""
    return field(default=default, metadata={"help": help_text, "lowest": lowest, "highest": highest})


def schema(plugin: type[Strategy]) -> dict[str, Any]:
    """Describe the parameters of a strategy as a JSON schema, for forms and the API."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {item.name: _property(item) for item in fields(cast(Any, plugin.Parameters))},
    }


def build(plugin: type[Strategy], values: Mapping[str, Any]) -> Strategy:
    """Make a strategy of its parameters, defaults for those not given. Raises Refused with every problem found."""
    known = {item.name: item for item in fields(cast(Any, plugin.Parameters))}
    found = [_unknown(name, value, sorted(known)) for name, value in values.items() if name not in known]
    found += [
        problem
        for name, value in values.items()
        if name in known and (problem := _problem(known[name], value)) is not None
    ]
    if found:
        raise Refused(*found)
    chosen = {name: (int if _is_whole(known[name]) else float)(value) for name, value in values.items()}
    return plugin(plugin.Parameters(**chosen))  # type: ignore[call-arg] # each plug-in takes its own parameters


def _property(item: Field[Any]) -> dict[str, Any]:
    return {
        "type": "integer" if _is_whole(item) else "number",
        "default": item.default,
        "minimum": item.metadata["lowest"],
        "maximum": item.metadata["highest"],
        "description": item.metadata["help"],
    }


def _problem(item: Field[Any], value: Any) -> Problem | None:
    whole = _is_whole(item)
    lowest, highest = item.metadata["lowest"], item.metadata["highest"]
    kinds = int if whole else (int, float)
    # A comparison with NaN is false, so NaN is refused here as well; True would count as 1.
    if isinstance(value, kinds) and not isinstance(value, bool) and lowest <= value <= highest:
        return None
    rule = f"must be a {'whole ' if whole else ''}number from {lowest} to {highest}"
    return Problem(field=item.name, value=repr(value)[:60], rule=rule, remedy=f"use {item.default} for example")


def _is_whole(item: Field[Any]) -> bool:
    return isinstance(item.default, int)


def _unknown(name: str, value: Any, known: list[str]) -> Problem:
    remedy = f"use one of {', '.join(known)}" if known else "leave it out"
    return Problem(field=name[:60], value=repr(value)[:60], rule="is not a parameter of this strategy", remedy=remedy)
