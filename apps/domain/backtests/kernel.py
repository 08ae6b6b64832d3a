"""The loop over bars: orders at the open, levels inside the bar, orders at the close, then what it is all worth.

A decision of bar d sees stances, closes and plans of d and before; it is filled at a later price. Nothing here can
read ahead, because nothing here is told what comes after the bar under way.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from apps.domain import compiled
from apps.domain.backtests import entering, guards, leaving
from apps.domain.backtests.entering import Counts, Ladder
from apps.domain.backtests.leaving import Rows
from apps.domain.backtests.result import Reason
from apps.domain.backtests.state import Account, Book, Refusal, Rules

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

TIME, SIGNAL, END, RISK = map(int, (Reason.TIME_STOP, Reason.SIGNAL, Reason.END, Reason.RISK))
LAST_BAR, IN_POSITION, SAME_BAR = map(int, (Refusal.LAST_BAR, Refusal.IN_POSITION, Refusal.SAME_BAR))
CORRELATION = int(Refusal.MAX_CORRELATION)
MARK_OPEN, END_CLOSE, END_OPEN = 1, 2, 3  # in the order of conventions.End; 0 marks at the close
BY_CHANGE, BY_LEVEL, BY_CROSS = 0, 1, 2  # in the order of conventions.Entries
NOTHING = -1


class Market(NamedTuple):
    """What a run is given: arrays of one row per instrument, aligned on the same bars; unused ones have no columns."""

    at: Whole
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    stances: npt.NDArray[np.int8]
    weights: Floats
    plan: Floats  # [stop, target, trail] of instruments of bars
    deviation: Floats
    funding: Floats
    detail: Floats  # [open, high, low, close] of finer bars
    first: Whole  # the finer bar each bar begins with, and one more


class Desk(NamedTuple):
    """Where a run keeps what it does; arrays of records, so that helpers change them in place."""

    rules: npt.NDArray[np.void]
    account: npt.NDArray[np.void]
    books: npt.NDArray[np.void]
    ticket: npt.NDArray[np.void]
    ladder: Ladder
    refused: Counts
    equity: Floats
    exposure: Floats  # empty when nobody asked for it
    rows: Rows


@compiled.bare_loop
def simulate(market: Market, desk: Desk, since: int) -> int:
    """Run the bars from `since` and return the first one not run, because there was no room for its trades.

    After the last bar the positions are finished; everything is left in `desk`.
    """
    account = desk.account[0]
    bars = len(market.at)
    for t in range(since, bars):
        if account.trades + room(desk) > desk.rows.shape[1]:
            return t
        step(t, market, desk)
    finish(bars - 1, market, desk)
    return bars


@compiled.rule
def step(t: int, market: Market, desk: Desk) -> None:
    """Run one bar."""
    rules, account = desk.rules[0], desk.account[0]
    if rules.limited:
        guards.start_bar(market.at[t], account)
    if t > 0:
        if rules.carries:
            carry(t, market, desk.books, account, rules)
        _at_open(t, market, desk, rules, account)
    _inside(t, market, desk, rules, account)
    if rules.at_close:
        _orders(t, t, market.close, market, desk, rules, account)
    value(t, market.close, desk.books, account)
    desk.equity[t] = account.equity
    if desk.exposure.shape[0] > 0:
        desk.exposure[t] = account.gross / account.equity
    if rules.limited:
        guards.end_bar(account, rules)


@compiled.rule
def room(desk: Desk) -> int:
    """Return how many trades one bar may close: two by orders and one per target, in each instrument."""
    return len(desk.books) * (len(desk.ladder) + 4)


@compiled.rule
def _at_open(t: int, market: Market, desk: Desk, rules: Rules, account: Account) -> None:
    if account.breached:
        account.breached = False
        for k in range(desk.books.shape[0]):
            _leave_all(t, k, market.open[k, t], RISK, market, desk, rules, account)
    if not rules.at_close:
        _orders(t, t - 1, market.open, market, desk, rules, account)
    if rules.time_stop > 0:
        for k in range(desk.books.shape[0]):
            book = desk.books[k]
            if book.side != 0 and t - book.entry_bar >= rules.time_stop:
                _leave_all(t, k, market.open[k, t], TIME, market, desk, rules, account)
                book.exited_bar = t


@compiled.rule
def _leave_all(
    t: int, k: int, price: float, reason: int, market: Market, desk: Desk, rules: Rules, account: Account
) -> None:
    book = desk.books[k]
    if book.side == 0:
        return
    last = t if reason == END or (rules.at_close and reason == SIGNAL) else t - 1
    volume = _volume(k, last, market, rules)
    leaving.leave(t, k, price, volume, book.size, reason, False, book, account, rules, desk.rows)


@compiled.rule
def _inside(t: int, market: Market, desk: Desk, rules: Rules, account: Account) -> None:
    for k in range(desk.books.shape[0]):
        book = desk.books[k]
        if book.side == 0 or (book.entry_bar == t and not rules.entry_bar):
            continue
        volume = _volume(k, t - 1, market, rules)
        if rules.detailed and market.first[t] < market.first[t + 1]:
            for i in range(market.first[t], market.first[t + 1]):
                o, h, low, c = market.detail[0, i], market.detail[1, i], market.detail[2, i], market.detail[3, i]
                leaving.pass_bar(t, k, o, h, low, c, volume, book, account, rules, desk.ladder, desk.rows)
        else:
            if not (rules.moving or leaving.has_levels(book)):
                continue  # reading the extremes of a bar costs more than all else on it
            o, h, low, c = market.open[k, t], market.high[k, t], market.low[k, t], market.close[k, t]
            leaving.pass_bar(t, k, o, h, low, c, volume, book, account, rules, desk.ladder, desk.rows)


@compiled.rule
def _orders(t: int, d: int, at: Floats, market: Market, desk: Desk, rules: Rules, account: Account) -> None:
    """Fill at bar `t` what was decided at the close of bar `d`: exits of every instrument first, then entries."""
    for k in range(desk.books.shape[0]):
        book = desk.books[k]
        if book.side != 0 and rules.exit_on_signal and turned(d, book.side, market.stances[k], rules):
            _leave_all(t, k, at[k, t], SIGNAL, market, desk, rules, account)
    for k in range(desk.books.shape[0]):
        side = wish(d, market.stances[k], rules)
        if side != 0:
            refusal = _hindrance(d, desk.books[k], account, rules)
            if refusal == NOTHING:
                value(t, at, desk.books, account)
                _enter(t, d, k, side, at[k, t], market, desk, rules, account)
            elif not (rules.entries == BY_LEVEL and refusal == IN_POSITION):
                desk.refused[refusal] += 1


@compiled.rule
def _volume(k: int, t: int, market: Market, rules: Rules) -> float:
    """Return the volume of a bar, 0 when no rule asks for it: a number from memory nobody else reads costs a trade."""
    return market.volume[k, t] if rules.slip_share > 0.0 else 0.0


@compiled.rule
def wish(d: int, stances: npt.NDArray[np.int8], rules: Rules) -> int:
    """Return the side that the stance of bar `d` wants opened, 0 for none."""
    side = int(stances[d])
    if side == 0 or not (rules.longs if side > 0 else rules.shorts):
        return 0
    if rules.entries == BY_LEVEL:
        return side if d >= rules.warmup - 1 else 0
    before = int(stances[d - 1]) if d > 0 else 0
    differs = before == -side if rules.entries == BY_CROSS else before != side
    return side if d >= rules.warmup and differs else 0


@compiled.rule
def turned(d: int, side: int, stances: npt.NDArray[np.int8], rules: Rules) -> bool:
    """Say whether the stance of bar `d` no longer agrees with a position on `side`."""
    if rules.entries == BY_CROSS:
        return bool(stances[d] == -side and stances[d - 1] == side)
    return bool(stances[d] != side)


@compiled.rule
def _hindrance(d: int, book: Book, account: Account, rules: Rules) -> int:
    """Return the Refusal of any entry decided at bar `d`, whatever its size; NOTHING when there is none."""
    if book.side != 0:
        return IN_POSITION
    if book.exited_bar == d and not rules.reentry:
        return SAME_BAR
    return guards.block(d, account.day, account, rules) if rules.limited else NOTHING


@compiled.rule
def _enter(
    t: int, d: int, k: int, side: int, price: float, market: Market, desk: Desk, rules: Rules, account: Account
) -> None:
    if rules.max_correlation > 0.0 and guards.too_alike(k, side, d, market.close, desk.books, rules):
        desk.refused[CORRELATION] += 1
        return
    ticket = desk.ticket[0]
    ticket.side, ticket.price = side, price
    ticket.signal, ticket.volume = market.close[k, d], _volume(k, d, market, rules)
    ticket.deviation = market.deviation[k, d] if market.deviation.shape[1] > 0 else 0.0
    ticket.stop = ticket.target = ticket.trail = np.nan
    if rules.planned:
        ticket.stop, ticket.target, ticket.trail = market.plan[0, k, d], market.plan[1, k, d], market.plan[2, k, d]
    entering.enter(t, ticket, desk.books[k], account, rules, desk.ladder, desk.refused)


@compiled.rule
def value(t: int, at: Floats, books: npt.NDArray[np.void], account: Account) -> None:
    """Value the account at the prices of bar `t` in `at`."""
    equity, gross = account.cash, 0.0
    for k in range(books.shape[0]):
        if books[k].side != 0:
            value = books[k].size * at[k, t]
            equity += books[k].side * value
            gross += value
    account.equity, account.gross = equity, gross


@compiled.rule
def carry(t: int, market: Market, books: npt.NDArray[np.void], account: Account, rules: Rules) -> None:
    """Charge what holding from the bar before until this one costs, on what the position was worth at that close."""
    since, until = market.at[t - 1], market.at[t]
    instants = until // rules.funding_seconds - since // rules.funding_seconds
    for k in range(books.shape[0]):
        book = books[k]
        rate = market.funding[k, t] if market.funding.shape[1] > 0 else rules.funding * instants
        rate = rate * book.side
        if book.side < 0:
            rate += rules.borrow * (until - since)
        cost = book.size * market.close[k, t - 1] * rate
        book.carry += cost
        account.cash -= cost


@compiled.rule
def finish(t: int, market: Market, desk: Desk) -> None:
    """Count what the last bar decided in vain, then leave or mark what is still open."""
    rules, account = desk.rules[0], desk.account[0]
    ends = rules.end == END_CLOSE or rules.end == END_OPEN
    for k in range(desk.books.shape[0]):
        side, book = wish(t, market.stances[k], rules), desk.books[k]
        turns = rules.exit_on_signal and book.side != 0 and turned(t, book.side, market.stances[k], rules)
        if side != 0 and not rules.at_close and (book.side == 0 or turns):
            desk.refused[LAST_BAR] += 1
        if ends:
            price = market.close[k, t] if rules.end == END_CLOSE else market.open[k, t]
            _leave_all(t, k, price, END, market, desk, rules, account)
    if rules.end != 0:
        value(t, market.open if rules.end == MARK_OPEN else market.close, desk.books, account)
        desk.equity[t] = account.equity
        if desk.exposure.shape[0] > 0:
            desk.exposure[t] = account.gross / account.equity
