"""The same loop for one instrument when nothing has to be done on each bar: it only stops where something may happen.

Bars on which something may happen are run by the general loop's own step, so that both give the same to the last bit;
on those between, only the equity is written.
"""

import numpy as np
import numpy.typing as npt

from apps.domain import compiled
from apps.domain.backtests import kernel, leaving
from apps.domain.backtests.kernel import BY_CHANGE, Desk, Floats, Market
from apps.domain.backtests.state import Book, Rules

Stances = npt.NDArray[np.int8]


@compiled.bare_loop
def simulate(market: Market, desk: Desk, since: int) -> int:
    """Run the bars from `since` and return the first one not run, because there was no room for its trades."""
    rules, account, book = desk.rules[0], desk.account[0], desk.books[0]
    stances, high, low, close = market.stances[0], market.high[0], market.low[0], market.close[0]
    bars, lag = len(market.at), 0 if rules.at_close else 1
    t = since
    while t < bars:
        if account.trades + kernel.room(desk) > desk.rows.shape[1]:
            return t
        kernel.step(t, market, desk)
        t += 1
        if book.side == 0:
            t = _flat(t, lag, stances, account.cash, desk.equity, rules)
        elif leaving.has_levels(book):
            t = _guarded(t, lag, stances, high, low, close, account.cash, desk.equity, book, rules)
        else:
            t = _held(t, lag, stances, close, account.cash, desk.equity, book, rules)
    kernel.finish(bars - 1, market, desk)
    return bars


@compiled.part
def _flat(t: int, lag: int, stances: Stances, cash: float, equity: Floats, rules: Rules) -> int:
    """Write the equity of bars from `t` on that can open no position, and return the first that may."""
    if t < 2:
        return t
    longs, shorts, edges = rules.longs, rules.shorts, rules.entries == BY_CHANGE
    before = stances[t - lag - 1]
    for i in range(t, len(equity)):
        stance = stances[i - lag]
        if ((stance > 0 and longs) or (stance < 0 and shorts)) and not (edges and stance == before):
            return i
        before = stance
        equity[i] = cash
    return len(equity)


@compiled.part
def _held(
    t: int, lag: int, stances: Stances, close: Floats, cash: float, equity: Floats, book: Book, rules: Rules
) -> int:
    """Write the equity of bars from `t` on whose stance leaves the position alone, and return the first other one."""
    stance, signed = stances[t - lag - 1], book.size * book.side
    end = _last(t, len(equity), book, rules)
    for i in range(t, end):
        if stances[i - lag] != stance:
            return i
        equity[i] = cash + signed * close[i]
    return end


@compiled.part
def _guarded(
    t: int, lag: int, stances: Stances, high: Floats, low: Floats, close: Floats, cash: float, equity: Floats,
    book: Book, rules: Rules,
) -> int:  # fmt: skip
    """The same for a position with levels: return the first bar that touches one of them or whose stance differs."""
    stance, side, stop, target = stances[t - lag - 1], book.side, book.stop, book.target
    signed = book.size * side
    end = _last(t, len(equity), book, rules)
    for i in range(t, end):
        if stances[i - lag] != stance or leaving.touched(side, high[i], low[i], stop, target):
            return i
        equity[i] = cash + signed * close[i]
    return end


@compiled.rule
def _last(t: int, bars: int, book: Book, rules: Rules) -> int:
    """Return the bar on which a time stop is due, or the number of bars."""
    return min(bars, max(t, book.entry_bar + rules.time_stop)) if rules.time_stop > 0 else bars
