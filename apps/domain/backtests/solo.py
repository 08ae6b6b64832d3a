"""The same loop for one instrument when nothing has to be done on each bar: it only stops where something may happen.

Bars on which something may happen are run by the general loop's own step, so that both give the same to the last bit;
on those between, only the equity is written.
"""

import numpy as np
import numpy.typing as npt

from apps.domain import compiled
from apps.domain.backtests import kernel, leaving
from apps.domain.backtests.entering import Counts
from apps.domain.backtests.kernel import BY_LEVEL, IN_POSITION, Desk, Floats, Market
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
            t = _guarded(t, lag, stances, high, low, close, account.cash, desk.equity, book, rules, desk.refused)
        else:
            t = _held(t, lag, stances, close, account.cash, desk.equity, book, rules)
    kernel.finish(bars - 1, market, desk)
    return bars


@compiled.part
def _flat(t: int, lag: int, stances: Stances, cash: float, equity: Floats, rules: Rules) -> int:
    """Write the equity of bars from `t` on that can open no position, and return the first that may."""
    if t < 2:
        return t
    found = t + _wished(stances[t - lag - 1 : len(stances) - lag], rules)
    into = equity[t:found]
    for i in range(len(into)):
        into[i] = cash
    return found


@compiled.part
def _wished(stances: Stances, rules: Rules) -> int:
    """Return how many bars pass until a stance may open a position; the first stance is that of the bar before."""
    longs, shorts, by_level = rules.longs, rules.shorts, rules.entries == BY_LEVEL
    before, coming = stances[0], stances[1:]
    for i in range(len(coming)):
        stance = coming[i]
        if stance != before or by_level:
            if (stance > 0 and longs) or (stance < 0 and shorts):
                return i
            before = stance
    return len(coming)


@compiled.part
def _held(
    t: int, lag: int, stances: Stances, close: Floats, cash: float, equity: Floats, book: Book, rules: Rules
) -> int:
    """Write the equity of bars from `t` on whose stance leaves the position alone, and return the first other one."""
    end = _last(t, len(equity), book, rules)
    found = t + _same(stances[t - lag - 1 : end - lag])
    _value(close[t:found], cash, book.size * book.side, equity[t:found])
    return found


@compiled.part
def _same(stances: Stances) -> int:
    """Return how many stances after the first are the same."""
    first, coming = stances[0], stances[1:]
    for i in range(len(coming)):
        if coming[i] != first:
            return i
    return len(coming)


@compiled.part
def _guarded(
    t: int, lag: int, stances: Stances, high: Floats, low: Floats, close: Floats, cash: float, equity: Floats,
    book: Book, rules: Rules, refused: Counts,
) -> int:  # fmt: skip
    """The same for a position with levels: return the first bar that touches one of them or may do something else."""
    end = _last(t, len(equity), book, rules)
    since, tops, bottoms = stances[t - lag - 1 : end - lag], high[t:end], low[t:end]
    if rules.exit_on_signal:
        found = t + _untouched(book.side, since, tops, bottoms, book.stop, book.target)
    else:
        found = t + _ignoring(t - lag, book.side, stances, tops, bottoms, book.stop, book.target, rules, refused)
    _value(close[t:found], cash, book.size * book.side, equity[t:found])
    return found


@compiled.part
def _untouched(side: int, stances: Stances, high: Floats, low: Floats, stop: float, target: float) -> int:
    """Return how many bars pass until one touches a level or the stance is not the first one any more."""
    before, coming = stances[0], stances[1:]
    for i in range(len(high)):
        if coming[i] != before or leaving.touched(side, high[i], low[i], stop, target):
            return i
    return len(high)


@compiled.part
def _ignoring(
    d: int, side: int, stances: Stances, high: Floats, low: Floats, stop: float, target: float,
    rules: Rules, refused: Counts,
) -> int:  # fmt: skip
    """Return how many bars pass until one touches a level; entries that stances from bar `d` on want are refused."""
    before, coming = stances[d - 1], stances[d:]
    for i in range(len(high)):
        if leaving.touched(side, high[i], low[i], stop, target):
            return i
        if coming[i] != before:
            before = coming[i]
            if rules.entries != BY_LEVEL and kernel.wish(d + i, stances, rules) != 0:
                refused[IN_POSITION] += 1
    return len(high)


@compiled.part
def _value(close: Floats, cash: float, signed: float, equity: Floats) -> None:
    for i in range(len(equity)):
        equity[i] = cash + signed * close[i]


@compiled.rule
def _last(t: int, bars: int, book: Book, rules: Rules) -> int:
    """Return the bar on which a time stop is due, or the number of bars."""
    return min(bars, max(t, book.entry_bar + rules.time_stop)) if rules.time_stop > 0 else bars
