"""What a backtest assumes, as data: every choice on which engines disagree is a field with a stated default.

The defaults are the canonical set: fill at the next open, levels from the fill, entry bar protected, stop first,
gaps at the open, a last position left open and marked; slippage is on.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Self, TypeVar

from apps.domain.backtests import limits as risk
from apps.domain.backtests import spelling
from apps.domain.backtests.limits import Limits
from apps.domain.errors import Problem, Refused


class Sides(StrEnum):
    """Which positions may be opened."""

    LONG = "long"  # a short stance means flat
    SHORT = "short"  # a long stance means flat
    BOTH = "both"  # a stance that turns around closes and opens on the same fill


class Entries(StrEnum):
    """Which stance opens a position."""

    CHANGE = "change"  # one that differs from the stance of the bar before
    LEVEL = "level"  # any that is not flat, while there is no position
    CROSS = "cross"  # one opposite to the stance of the bar before; nothing less leaves by signal either


class Fill(StrEnum):
    """When a decision taken at the close of a bar is filled."""

    NEXT_OPEN = "next-open"  # at the open of the next bar; a decision on the last bar is never filled
    CLOSE = "close"  # at that very close


class Units(StrEnum):
    """What sizes are rounded down to."""

    WHOLE = "whole"  # whole units
    FRACTIONAL = "fractional"  # not at all
    LOTS = "lots"  # multiples of `lot_size`


class Sizing(StrEnum):
    """How large a position is; `size` is the number it needs."""

    ALL_IN = "all-in"  # everything the account can buy
    FIXED = "fixed"  # `size` units
    NOTIONAL = "notional"  # worth `size` in the currency of the account
    PERCENT = "percent"  # worth the rate `size` of equity
    RISK = "risk"  # so large that its stop loses the rate `size` of equity, at most all the account can buy
    VOLATILITY = "volatility"  # so large that equity moves by the rate `size` a bar (one standard deviation), same cap


class Slippage(StrEnum):
    """How much worse than the price a fill is; `slippage_value` is the number it needs."""

    NONE = "none"  # not at all
    FIXED = "fixed"  # `slippage_value` price units
    PERCENT = "percent"  # the rate `slippage_value` of the price
    SPREAD = "spread"  # half of a spread that is the rate `slippage_value` of the price
    VOLUME_SHARE = "volume-share"  # rate `slippage_value` times the square of size over the last bar's volume


class Base(StrEnum):
    """The price that rates of stop and target are taken of."""

    FILL = "fill"  # the price of the entry fill
    SIGNAL = "signal"  # the close of the bar whose stance led to the entry


class Order(StrEnum):
    """Which of two levels fills when both lie inside one bar."""

    STOP = "sl"  # the stop
    TARGET = "tp"  # the target
    ADAPTIVE = "adaptive"  # the target if its extreme of the bar is strictly nearer to the open, else the stop


class Gap(StrEnum):
    """What a bar that opens beyond a level is filled at."""

    OPEN = "open"  # its open
    LEVEL = "level"  # the level, even where the market never traded there
    CLAMP = "clamp"  # the level, or if the whole bar lies beyond it the open (stop) or the near extreme (target)


class End(StrEnum):
    """What becomes of a position that is open on the last bar."""

    MARK = "mark"  # it stays open, valued at the last close
    MARK_OPEN = "mark-open"  # it stays open, valued at the last open
    CLOSE = "close"  # it is left at the last close, with fee
    OPEN = "open"  # it is left at the last open, with fee


@dataclass(frozen=True, slots=True, kw_only=True)
class Conventions:
    """Every assumption of one run. Rates are plain numbers (0.01 is 1 percent). Raises Refused with every problem."""

    cash: float = 100_000.0
    sides: Sides = Sides.LONG
    entries: Entries = Entries.CHANGE
    exit_on_signal: bool = True  # a stance that no longer agrees with the position leaves it
    fill: Fill = Fill.NEXT_OPEN
    same_bar_reentry: bool = True  # the bar on which a level was hit may itself decide the next entry
    units: Units = Units.WHOLE
    lot_size: float = 1.0  # for units "lots"
    sizing: Sizing = Sizing.ALL_IN
    size: float = 0.0  # what `sizing` needs
    volatility_bars: int = 20  # for sizing "volatility": closes over which the deviation is taken
    size_fee: bool = True  # keep the entry fee back when sizing; without it an all-in entry makes cash negative
    fee_rate: float = 0.0  # of price times size, on every fill
    fee_fixed: float = 0.0  # on every fill, on top of the rate
    maker_rate: float | None = None  # given: targets are resting orders, filled without slippage at this fee rate
    round_fee: int | None = None  # decimals of each fee
    slippage: Slippage = Slippage.PERCENT
    slippage_value: float = 0.0005
    stop_loss: float | None = None  # rate against the position from the base
    take_profit: float | None = None  # rate in favour of it
    trailing_stop: float | None = None  # rate behind the best price since the entry
    trailing_activation: float | None = None  # rate in favour that wakes the trailing stop; None is awake at once
    break_even: float | None = None  # rate in favour that wakes a stop near the entry
    break_even_offset: float = 0.0  # where that stop rests: rate in favour of the entry
    time_stop: int | None = None  # leave at the open of the bar this many bars after the entry
    partial_exits: tuple[tuple[float, float], ...] = ()  # (rate in favour, fraction of what was opened)
    base: Base = Base.FILL
    entry_bar: bool = True  # levels are tested on the bar of the entry fill as well
    order: Order = Order.STOP
    open_first: bool = True  # a bar that opens at or beyond one level fills that level, whatever `order` says
    gap_sl: Gap = Gap.OPEN
    gap_tp: Gap = Gap.OPEN
    tp_net: bool = False  # the target earns its rate after both fees
    round_px: int | None = None  # decimals of stop and target
    end: End = End.MARK
    borrow_rate: float = 0.0  # a year of 365 days, on what a short position is worth
    funding_rate: float = 0.0  # longs pay shorts this rate of the position each `funding_hours`
    funding_hours: int = 8  # counted from midnight UTC
    limits: Limits = field(default_factory=Limits)
    seed: int = 0  # for what is drawn at random around a run; the engine itself draws nothing

    def __post_init__(self) -> None:
        found = list(_coerced(self)) or [*_problems(self), *risk.problems(self.limits)]
        if found:
            raise Refused(*found)

    def as_json(self) -> dict[str, Any]:
        """Return every field as JSON holds it; `Conventions.restored` reads it back."""
        return asdict(self) | {"partial_exits": [list(pair) for pair in self.partial_exits]}

    @classmethod
    def restored(cls, stored: Mapping[str, Any]) -> Self:
        """Return the conventions that `as_json` wrote. Raises Refused for a field it does not know."""
        return _built(cls, dict(stored) | {"limits": dict(stored.get("limits") or {})})

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> Self:
        """Return the conventions that texts from a command line or a form spell. Raises Refused with every Problem.

        Names may have hyphens or underscores; limits stand beside the other fields. See `spelling` for the values.
        """
        return _built(cls, spelling.values(texts, cls, Limits))


Made = TypeVar("Made", bound=Conventions)


def _built(cls: type[Made], values: dict[str, Any]) -> Made:
    inside = values.pop("limits", {})
    unknown = [name for name in values if name not in {item.name for item in fields(cls)}]
    unknown += [name for name in inside if name not in {item.name for item in fields(Limits)}]
    if unknown:
        raise Refused(*(_problem(name, "", "is not a convention", "see the list of conventions") for name in unknown))
    return cls(**values, limits=Limits(**inside))


def _coerced(made: Conventions) -> Iterator[Problem]:
    """Turn words into enums and JSON lists into tuples, so that callers may pass plain words."""
    for item in fields(made):
        value = getattr(made, item.name)
        if isinstance(item.type, type) and issubclass(item.type, StrEnum):
            if value not in list(item.type):
                yield _problem(item.name, value, "is not one of the choices", f"use {', '.join(item.type)}")
                continue
            object.__setattr__(made, item.name, item.type(value))
    object.__setattr__(made, "partial_exits", tuple((float(a), float(b)) for a, b in made.partial_exits))


_POSITIVE = ("cash", "lot_size")
_FROM_ZERO = ("size", "fee_rate", "fee_fixed", "slippage_value", "borrow_rate")
_RATES = ("stop_loss", "take_profit", "trailing_stop", "trailing_activation", "break_even")
_BELOW_ONE = ("fee_rate", "stop_loss", "trailing_stop")
_DECIMALS = ("round_px", "round_fee")


def _problems(made: Conventions) -> Iterator[Problem]:
    for name in (*_POSITIVE, *_FROM_ZERO, "funding_rate", "break_even_offset"):
        value = getattr(made, name)
        if not math.isfinite(value) or (value < 0 and name in _FROM_ZERO) or (value <= 0 and name in _POSITIVE):
            yield _problem(name, value, f"must be {'above' if name in _POSITIVE else 'at least'} 0", "use a number")
    for name in _RATES:
        value = getattr(made, name)
        if value is not None and not 0 < value < float("inf"):
            yield _problem(name, value, "must be a rate above 0", "use 0.02 or 2% for two percent, or leave it out")
    for name in _BELOW_ONE:
        if (getattr(made, name) or 0) >= 1:
            yield _problem(name, getattr(made, name), "must be a rate below 1", "use 0.02 or 2% for two percent")
    yield from _counts(made)
    yield from _combinations(made)


def _counts(made: Conventions) -> Iterator[Problem]:
    for name in _DECIMALS:
        value = getattr(made, name)
        if value is not None and not 0 <= value <= 12:
            yield _problem(name, value, "must be from 0 to 12 decimals", "use 2 for cents")
    for name, lowest in (("time_stop", 1), ("volatility_bars", 2), ("funding_hours", 1)):
        value = getattr(made, name)
        if value is not None and value < lowest:
            yield _problem(name, value, f"must be at least {lowest}", f"use {lowest} or more")
    if made.maker_rate is not None and not -1 < made.maker_rate < 1:
        yield _problem("maker_rate", made.maker_rate, "must be a rate between -1 and 1", "use 0.0002 for example")


def _combinations(made: Conventions) -> Iterator[Problem]:
    if made.sizing is not Sizing.ALL_IN and not made.size:
        yield _problem("size", made.size, f"sizing {made.sizing} needs a size", "give a number above 0")
    if sum(part for _, part in made.partial_exits) > 1 + 1e-9:
        yield _problem("partial_exits", made.partial_exits, "together they are more than the position", "sum to 1")
    if any(not (rate > 0 and 0 < part <= 1) for rate, part in made.partial_exits):
        yield _problem("partial_exits", made.partial_exits, "a rate above 0 and a fraction up to 1", "use 2%:0.5")


def _problem(name: str, value: object, rule: str, remedy: str) -> Problem:
    return Problem(field=name, value=str(value)[:60], rule=rule, remedy=remedy)
