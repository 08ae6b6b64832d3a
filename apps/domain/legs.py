"""When an exit leg triggers. Plain functions on plain numbers: live trading calls them with Decimal, the backtest
engine with floats, and both get the same answer."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from apps.domain.sides import Side

N = TypeVar("N", Decimal, float)


class LegKind(StrEnum):
    """The ways a position can be left by itself."""

    STOP_LOSS = "stop_loss"  # leave when the price is at or beyond a level against the position
    TAKE_PROFIT = "take_profit"  # leave when the price is at or beyond a level in favour of it
    TRAILING_STOP = "trailing_stop"  # a stop that follows the best price at a distance
    BREAK_EVEN = "break_even"  # a stop near the entry that wakes once the price has been good enough
    TIME_STOP = "time_stop"  # leave when an instant has passed, at whatever the market gives


class ExitReason(StrEnum):
    """Why a position was left: a leg, a person, a rule, or its strategy."""

    STOP_LOSS = "stop_loss"  # its stop was touched
    TAKE_PROFIT = "take_profit"  # its target was touched
    TRAILING_STOP = "trailing_stop"  # its trailing stop was touched
    BREAK_EVEN = "break_even"  # the price came back to the entry after having been better
    TIME_STOP = "time_stop"  # its time was up
    MANUAL = "manual"  # a person closed it on a page
    API = "api"  # a program closed it over the API
    SIGNAL = "signal"  # its strategy no longer wants it
    RISK = "risk"  # a risk rule closed it
    KILL_SWITCH = "kill_switch"  # somebody stopped everything


# When several legs trigger on one price, this is their order: what protects comes before what takes profit.
PRIORITY: dict[str, int] = {
    ExitReason.KILL_SWITCH: 0,
    ExitReason.RISK: 1,
    ExitReason.STOP_LOSS: 2,
    ExitReason.BREAK_EVEN: 3,
    ExitReason.TRAILING_STOP: 4,
    ExitReason.TIME_STOP: 5,
    ExitReason.MANUAL: 6,
    ExitReason.API: 7,
    ExitReason.SIGNAL: 8,
    ExitReason.TAKE_PROFIT: 9,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One way out of a position, for a fraction of what was opened.

    `level` is a price: the stop, the target, or where a woken break-even stop rests. `activation` is the price that
    wakes a break-even or a trailing stop. `trail` is a distance in price, or a rate (0.01 is one percent) when
    `trail_is_rate`.
    """

    kind: LegKind
    fraction: Decimal = Decimal(1)
    level: Decimal | None = None
    activation: Decimal | None = None
    trail: Decimal | None = None
    trail_is_rate: bool = False
    due_at: datetime | None = None
    offset: Decimal | None = None  # break-even: price units on the good side of the entry, instead of a level


def resting(leg: Leg, side: Side, entry: Decimal) -> Leg:
    """Return the leg with the level its offset means for a position entered at `entry`; other legs as they are."""
    if leg.offset is None:
        return leg
    return replace(leg, level=entry + leg.offset * side.sign, offset=None)


def stop_hit(sign: int, price: N, level: N) -> bool:
    """Say whether a stop at `level` triggers: long at or below it, short at or above it."""
    return (level - price) * sign >= 0


def target_hit(sign: int, price: N, level: N) -> bool:
    """Say whether a target at `level` triggers: long at or above it, short at or below it."""
    return (price - level) * sign >= 0


def better(sign: int, first: N, second: N) -> N:
    """Return the price that is better for the position: the higher for a long, the lower for a short."""
    return max(first, second) if sign > 0 else min(first, second)


def level_at_rate(sign: int, base: N, rate: N) -> N:
    """Return the price that is `rate` of `base` better for the position; a negative rate is worse, like a stop's."""
    return base * (1 + rate * sign)


def trail_level(sign: int, peak: N, trail: N) -> N:
    """Return where a trailing stop rests, `trail` price units behind the best price."""
    return peak - trail * sign


def trail_level_at_rate(sign: int, peak: N, rate: N) -> N:
    """Return where a trailing stop rests, `rate` of the best price behind it."""
    return peak - peak * rate * sign


def trailing_stop(leg: Leg, side: Side, peak: Decimal) -> Decimal:
    """Return the level of a trailing leg for the best price `peak`, exact and not rounded to the grid."""
    if leg.trail is None:
        raise ValueError("a trailing stop needs a trail")
    rule = trail_level_at_rate if leg.trail_is_rate else trail_level
    return rule(side.sign, peak, leg.trail)


def triggers(leg: Leg, side: Side, price: Decimal, peak: Decimal | None) -> bool:
    """Say whether `price` triggers the leg; `peak` is the best price since the position was opened.

    A time stop is not a matter of price and never triggers here.
    """
    match leg.kind:
        case LegKind.STOP_LOSS:
            return leg.level is not None and stop_hit(side.sign, price, leg.level)
        case LegKind.TAKE_PROFIT:
            return leg.level is not None and target_hit(side.sign, price, leg.level)
        case LegKind.BREAK_EVEN:
            return leg.level is not None and _awake(leg, side, peak) and stop_hit(side.sign, price, leg.level)
        case LegKind.TRAILING_STOP:
            if peak is None or not _awake(leg, side, peak):
                return False
            return stop_hit(side.sign, price, trailing_stop(leg, side, peak))
        case LegKind.TIME_STOP:
            return False


def _awake(leg: Leg, side: Side, peak: Decimal | None) -> bool:
    if leg.activation is None:
        return True
    return peak is not None and target_hit(side.sign, peak, leg.activation)
