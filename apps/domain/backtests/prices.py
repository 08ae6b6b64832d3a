"""At what price an order fills and what it costs: the rules of live trading, compiled, and those only bars need."""

import numpy as np

from apps.domain import compiled, fills, legs
from apps.domain.backtests.result import Reason
from apps.domain.backtests.state import Book, Rules

OPEN, LEVEL, CLAMP = 0, 1, 2  # readings of a gap, in the order of conventions.Gap
STOP_LOSS, TRAILING_STOP, BREAK_EVEN = map(int, (Reason.STOP_LOSS, Reason.TRAILING_STOP, Reason.BREAK_EVEN))
HALF_TOLERANCE, HALF_NEARNESS = 4e-15, 1e-9
SETTLED_DIGITS = 14
LEAST_SETTLED, MOST_SETTLED = 1e-8, 1e13  # in between the powers of ten that settle a price are exact

stop_hit = compiled.rule(legs.stop_hit)
target_hit = compiled.rule(legs.target_hit)
better = compiled.rule(legs.better)
at_rate = compiled.rule(legs.level_at_rate)
trail_level = compiled.rule(legs.trail_level)
trail_level_at_rate = compiled.rule(legs.trail_level_at_rate)
worse = compiled.rule(fills.worse)
charge = compiled.rule(fills.charge)
gain = compiled.rule(fills.gain)


@compiled.rule
def level_at_rate(side: int, base: float, rate: float) -> float:
    """Return the price that is `rate` of `base` better for the position, as exact decimals have it."""
    return settled(at_rate(side, base, rate))


@compiled.rule
def settled(value: float) -> float:
    """Return `value` at 14 significant digits, so that a touch does not hang on the last bit of a float.

    0.98 of 14.00 is 13.72, but floats multiply to a hair less: a low of 13.72 would not touch that stop.
    """
    if not LEAST_SETTLED < value < MOST_SETTLED:
        return value
    scale = 10.0 ** (SETTLED_DIGITS - 1 - int(np.floor(np.log10(value))))
    units: float = np.rint(value * scale)
    return units / scale


@compiled.rule
def rounded(value: float, decimals: int) -> float:
    """Return `value` at so many decimals, halves up as commercial rounding has it; -1 leaves it.

    0.002 of 3 times 102.50 is 0.615, a half that floats cannot write: what lies within a rate of 4e-15 of a half, or
    within 1e-9 of the last decimal, is one.
    """
    if decimals < 0:
        return value
    scale = 10.0**decimals
    units: float = np.floor(value * scale * (1.0 + HALF_TOLERANCE) + 0.5 + HALF_NEARNESS)
    return units / scale


@compiled.rule
def fee(price: float, size: float, rate: float, rules: Rules) -> float:
    """Return the fee of a fill, rounded when the rules say so."""
    return rounded(charge(price, size, rate, rules.fee_fixed), rules.fee_decimals)


@compiled.rule
def slipped(order_sign: int, price: float, size: float, volume: float, rules: Rules) -> float:
    """Return the price of a market order of `size`: worse than `price`, never below zero."""
    rate = rules.slip_rate
    if rules.slip_share > 0.0:
        share = min(size / volume, 1.0) if volume > 0.0 else 1.0
        rate = rules.slip_share * share * share
    return max(worse(order_sign, price, rate, rules.slip_fixed), 0.0)


@compiled.rule
def at_stop(side: int, level: float, opened: float, best: float, rules: Rules) -> float:
    """Return where a stop that a bar touched is filled; `best` is the bar's extreme in favour of the position."""
    if rules.gap_sl == OPEN:
        return opened if stop_hit(side, opened, level) else level
    if rules.gap_sl == CLAMP and not target_hit(side, best, level):
        return opened
    return level


@compiled.rule
def at_target(side: int, level: float, opened: float, worst: float, rules: Rules) -> float:
    """Return where a target that a bar touched is filled; `worst` is the bar's extreme against the position."""
    if rules.gap_tp == OPEN:
        return opened if target_hit(side, opened, level) else level
    if rules.gap_tp == CLAMP and not stop_hit(side, worst, level):
        return worst
    return level


@compiled.rule
def protection(book: Book) -> tuple[float, int]:
    """Return the nearest of the protecting levels that are awake, and its Reason; NaN without any.

    Of levels at one price the stop loss comes first, then break-even, then the trailing stop, as in live trading.
    """
    level, reason = book.stop, STOP_LOSS
    if target_hit(book.side, book.best, book.even_wake) and not target_hit(book.side, level, book.even_level):
        level, reason = book.even_level, BREAK_EVEN
    trailing = trailing_level(book)
    awake = target_hit(book.side, book.best, book.trail_wake) and trailing == trailing  # NaN is unequal to itself
    if awake and not target_hit(book.side, level, trailing):
        level, reason = trailing, TRAILING_STOP
    return level, reason


@compiled.rule
def trailing_level(book: Book) -> float:
    """Return where the trailing stop rests behind the best price, NaN without one."""
    if book.trail_distance == book.trail_distance:
        return trail_level(book.side, book.best, book.trail_distance)
    return trail_level_at_rate(book.side, book.best, book.trail_rate)
