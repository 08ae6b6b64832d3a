"""How a position is left: by an order at a price, or because a bar touches one of its levels."""

import numpy as np
import numpy.typing as npt

from apps.domain import compiled
from apps.domain.backtests import guards, prices
from apps.domain.backtests.entering import Ladder, in_lots, next_target
from apps.domain.backtests.prices import stop_hit, target_hit
from apps.domain.backtests.result import Reason
from apps.domain.backtests.state import Account, Book, Column, Rules

Rows = npt.NDArray[np.float64]  # a row per state.Column, a column per trade

INSTRUMENT, SIDE, ENTRY_BAR, EXIT_BAR, ENTRY_PRICE, EXIT_PRICE, SIZE = map(int, list(Column)[:7])
ENTRY_FEE, EXIT_FEE, CARRY, PNL, REASON, AMBIGUOUS = map(int, list(Column)[7:])
STOP_FIRST, TARGET_FIRST, ADAPTIVE = 0, 1, 2  # in the order of conventions.Order
TAKE_PROFIT = int(Reason.TAKE_PROFIT)
SAME_DISTANCE = 1e-12  # distances from the open that differ by this rate of it are equal: 10.3 and 9.9 from 10.1
NO_GAIN = 1e-14  # less than this rate of what was held is the rounding of floats, neither a gain nor a loss


@compiled.part
def leave(
    t: int, k: int, price: float, volume: float, size: float, reason: int, unsure: bool,
    book: Book, account: Account, rules: Rules, rows: Rows,
) -> None:  # fmt: skip
    """Sell or buy back `size` of position `k` at about `price` and write the trade; the rows have room."""
    resting = rules.resting and reason == TAKE_PROFIT
    fill = price if resting else prices.slipped(-book.side, price, size, volume, rules)
    paid = prices.fee(fill, size, rules.maker_rate if resting else rules.fee_rate, rules)
    account.cash = account.cash + book.side * (size * fill) - paid
    whole = size >= book.size
    share = 1.0 if whole else size / book.size
    entry_fee, carry = book.entry_fee * share, book.carry * share
    pnl = prices.gain(book.side, size * book.entry_price, size * fill) - entry_fee - paid - carry
    if abs(pnl) < NO_GAIN * size * fill:
        pnl = 0.0
    n = account.trades
    rows[INSTRUMENT, n], rows[SIDE, n] = k, book.side
    rows[ENTRY_BAR, n], rows[EXIT_BAR, n] = book.entry_bar, t
    rows[ENTRY_PRICE, n], rows[EXIT_PRICE, n] = book.entry_price, fill
    rows[SIZE, n], rows[REASON, n], rows[AMBIGUOUS, n] = size, reason, unsure
    rows[ENTRY_FEE, n], rows[EXIT_FEE, n], rows[CARRY, n], rows[PNL, n] = entry_fee, paid, carry, pnl
    account.trades += 1
    book.size = 0.0 if whole else book.size - size
    book.entry_fee -= entry_fee
    book.carry -= carry
    if rules.limited:
        guards.closed(t, pnl, account, rules)
    if whole:
        book.side = 0
        account.positions -= 1


@compiled.rule
def touched(side: int, h: float, low: float, stop: float, target: float) -> bool:
    """Say whether a bar reaches a stop or a target."""
    if side > 0:
        return stop_hit(1, low, stop) or target_hit(1, h, target)
    return stop_hit(-1, h, stop) or target_hit(-1, low, target)


@compiled.rule
def has_levels(book: Book) -> bool:
    """Say whether a position has a stop or a target."""
    return book.stop == book.stop or book.target == book.target  # NaN is unequal to itself


@compiled.part
def pass_bar(
    t: int, k: int, o: float, h: float, low: float, c: float, volume: float,
    book: Book, account: Account, rules: Rules, ladder: Ladder, rows: Rows,
) -> None:  # fmt: skip
    """Take position `k` through one bar: leave what its levels say, then let the levels follow the best price."""
    doubted = False  # both levels lie inside the bar, whether or not its open settles which was first
    best, worst = (h, low) if book.side > 0 else (low, h)
    while book.side != 0:
        level, reason = prices.protection(book)
        stopped, won = stop_hit(book.side, worst, level), target_hit(book.side, best, book.target)
        if not (stopped or won):
            break
        stop_first = stopped
        unsure = False
        if stopped and won:
            stop_first, unsure = _stop_is_first(book.side, level, book.target, o, h, low, rules)
            doubted = True
        if stop_first:
            price = prices.at_stop(book.side, level, o, best, rules)
            leave(t, k, price, volume, book.size, reason, unsure, book, account, rules, rows)
        else:
            _take(t, k, o, worst, volume, unsure, book, account, rules, ladder, rows)
        if book.side == 0:
            book.exited_bar = t
    if rules.moving and book.side != 0:
        late = _follow(t, k, best, worst, c, volume, book, account, rules, rows)
        doubted = doubted or late
    account.ambiguous += doubted


@compiled.part
def _stop_is_first(
    side: int, stop: float, target: float, o: float, h: float, low: float, rules: Rules
) -> tuple[bool, bool]:
    """Say whether the stop fills first on a bar that touches both levels, and whether that had to be assumed."""
    if rules.open_first:
        if stop_hit(side, o, stop):
            return True, False
        if target_hit(side, o, target):
            return False, False
    if rules.order == ADAPTIVE:
        up, down, least = h - o, o - low, SAME_DISTANCE * o
        return not (down - up > least if side > 0 else up - down > least), True
    return rules.order == STOP_FIRST, True


@compiled.part
def _take(
    t: int, k: int, o: float, worst: float, volume: float, unsure: bool,
    book: Book, account: Account, rules: Rules, ladder: Ladder, rows: Rows,
) -> None:  # fmt: skip
    """Leave at the nearest target: a share of what was opened, in lots, and no rest that could not be sold."""
    price = prices.at_target(book.side, book.target, o, worst, rules)
    size = book.size
    if book.target_share <= 1.0:
        part = max(in_lots(book.opened * book.target_share, rules.lot), rules.lot)
        size = part if book.size - part >= max(rules.lot, 1e-12 * book.opened) else book.size
    leave(t, k, price, volume, size, TAKE_PROFIT, unsure, book, account, rules, rows)
    if book.side != 0:
        book.rung += 1
        next_target(book, rules, ladder)


@compiled.part
def _follow(
    t: int, k: int, best: float, worst: float, c: float, volume: float,
    book: Book, account: Account, rules: Rules, rows: Rows,
) -> bool:  # fmt: skip
    """Move the levels behind the bar's best price; leave when the close says that the price came back through them.

    The best price of a bar comes before its close, so a close beyond the moved level proves the touch. The worst
    price may have come earlier: then the bar is in doubt and the position stays.
    """
    book.best = prices.better(book.side, book.best, best)
    level, reason = prices.protection(book)
    if stop_hit(book.side, c, level):
        leave(t, k, level, volume, book.size, reason, False, book, account, rules, rows)
        book.exited_bar = t
        return False
    return stop_hit(book.side, worst, level)
