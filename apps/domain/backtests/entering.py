"""How an entry is made: its price, its levels, its size, the limits it must pass, and what it books."""

import numpy as np
import numpy.typing as npt

from apps.domain import compiled
from apps.domain.backtests import guards, prices
from apps.domain.backtests.prices import level_at_rate, rounded
from apps.domain.backtests.state import Account, Book, Refusal, Rules, Ticket

Ladder = npt.NDArray[np.float64]  # one row per partial exit: rate in favour, fraction of what was opened
Counts = npt.NDArray[np.int64]

ALL_IN, FIXED, NOTIONAL, PERCENT, RISK = range(5)  # in the order of conventions.Sizing
# Sizes within this rate below a multiple of the lot count as that multiple: 99.9999999999999 units are a hundred that
# floats could not write, and flooring them would buy 99. Cash may fall below zero by the same rate.
LOT_TOLERANCE = 1e-12
# An order may cost this rate of equity more than the account can buy, so that rounding never drops one; and one worth
# less than this rate of equity is the dust of a rounding, not an order.
POWER_TOLERANCE = 1e-9

NONE = -1
SIZE, CASH, NO_STOP, NO_DEVIATION, PRICE = map(
    int, (Refusal.SIZE, Refusal.CASH, Refusal.NO_STOP, Refusal.NO_DEVIATION, Refusal.PRICE)
)


@compiled.rule
def enter(t: int, ticket: Ticket, book: Book, account: Account, rules: Rules, ladder: Ladder, refused: Counts) -> None:
    """Open a position at bar `t`, or count why not. `account` is valued at the prices of this fill."""
    price = _priced(ticket, account, rules)
    if not price > 0.0:
        refused[PRICE] += 1
        return
    _levels(ticket, price, book, account, rules, ladder)
    wanted, refusal = _wanted(ticket, price, book.stop, account, rules)
    size = in_lots(wanted, rules.lot)
    if refusal == NONE:
        refusal = _refusal(size, price, ticket, account, rules)
    if refusal != NONE:
        book.side = 0
        refused[refusal] += 1
        return
    paid = prices.fee(price, size, rules.fee_rate, rules)
    account.cash = account.cash - ticket.side * (size * price) - paid
    account.positions += 1
    account.entries += 1
    book.size = size
    book.opened = size
    book.entry_bar = t
    book.entry_fee = paid
    book.carry = 0.0


@compiled.rule
def _priced(ticket: Ticket, account: Account, rules: Rules) -> float:
    if rules.slip_share <= 0.0 or not ticket.price > 0.0:
        return prices.slipped(ticket.side, ticket.price, 0.0, 0.0, rules)
    # The impact depends on the size and the size on the impact: the size wanted without impact bounds both.
    stop = level_at_rate(ticket.side, ticket.price, -rules.stop)
    size, _ = _wanted(ticket, ticket.price, stop if ticket.stop != ticket.stop else ticket.stop, account, rules)
    return prices.slipped(ticket.side, ticket.price, in_lots(size, rules.lot), ticket.volume, rules)


@compiled.rule
def _levels(ticket: Ticket, price: float, book: Book, account: Account, rules: Rules, ladder: Ladder) -> None:
    side = ticket.side
    base = ticket.signal if rules.from_signal else price
    book.side = side
    book.entry_price = price
    book.base = base
    book.best = price
    book.rung = 0
    book.stop = rounded(level_at_rate(side, base, -rules.stop), rules.px_decimals)
    book.last_target = rounded(_target(side, base, rules.target, rules), rules.px_decimals)
    book.even_wake = level_at_rate(side, base, rules.even)
    book.even_level = level_at_rate(side, base, rules.even_offset)
    book.trail_wake = (
        -np.inf * side if rules.trail_wake != rules.trail_wake else level_at_rate(side, base, rules.trail_wake)
    )
    book.trail_rate = rules.trail
    book.trail_distance = ticket.trail
    if ticket.stop == ticket.stop:
        book.stop = ticket.stop
    if ticket.target == ticket.target:
        book.last_target = ticket.target
    next_target(book, rules, ladder)


@compiled.rule
def next_target(book: Book, rules: Rules, ladder: Ladder) -> None:
    """Set the nearest target still ahead: the next partial exit, or the last target."""
    book.target = book.last_target
    book.target_share = 2.0
    if book.rung >= ladder.shape[0]:
        return
    level = rounded(_target(book.side, book.base, ladder[book.rung, 0], rules), rules.px_decimals)
    if not prices.target_hit(book.side, level, book.last_target):
        book.target = level
        book.target_share = ladder[book.rung, 1]


@compiled.rule
def _target(side: int, base: float, rate: float, rules: Rules) -> float:
    level = level_at_rate(side, base, rate)
    if not rules.tp_net:
        return level
    cost, kept = 1 + rules.fee_rate, 1 - rules.fee_rate
    return level * cost / kept if side > 0 else level * kept / cost


@compiled.rule
def _wanted(ticket: Ticket, price: float, stop: float, account: Account, rules: Rules) -> tuple[float, int]:
    unit = price * (1 + rules.fee_rate) if rules.size_fee else price
    power = account.equity * rules.leverage - account.gross
    everything = (power - rules.fee_fixed if rules.size_fee else power) / unit
    if rules.sizing == ALL_IN:
        return everything, NONE
    if rules.sizing == FIXED:
        return rules.size, NONE
    if rules.sizing == NOTIONAL:
        return rules.size / price, NONE
    if rules.sizing == PERCENT:
        return account.equity * rules.size / unit, NONE
    if rules.sizing == RISK:
        distance = (price - stop) * ticket.side
        return (min(account.equity * rules.size / distance, everything), NONE) if distance > 0.0 else (0.0, NO_STOP)
    moves = price * ticket.deviation
    return (min(account.equity * rules.size / moves, everything), NONE) if moves > 0.0 else (0.0, NO_DEVIATION)


@compiled.rule
def in_lots(size: float, lot: float) -> float:
    """Return the size rounded down to whole lots; a lot of 0 leaves it."""
    if lot <= 0.0:
        return size
    steps = size / lot
    near = np.rint(steps)
    whole: float = near if near - steps <= LOT_TOLERANCE * near else np.floor(steps)
    return whole * lot


@compiled.rule
def _refusal(size: float, price: float, ticket: Ticket, account: Account, rules: Rules) -> int:
    """Return the Refusal of an order, NONE when it may be placed."""
    value = size * price
    if not (size > 0.0 and value > POWER_TOLERANCE * account.equity):
        return SIZE
    cost = value * (1 + rules.fee_rate) + rules.fee_fixed if rules.size_fee else value
    power = account.equity * rules.leverage - account.gross
    if cost > power + POWER_TOLERANCE * account.equity:
        return CASH
    if not rules.limited:
        return NONE
    refusal = guards.price_refusal(price, ticket.signal, rules)
    return guards.order_refusal(ticket.side, value, price, size, account, rules) if refusal == NONE else refusal
