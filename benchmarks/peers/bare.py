"""The bound: one hand-written numba pass per strategy that knows nothing but it: fills, fees, equity, trades."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit

from benchmarks.peers import turn
from benchmarks.peers.turn import CASH, FAST, FEE, SLOW, STOP, TARGET, Bars, Figures, Run

COLUMNS = 6  # entry bar, exit bar, entry price, exit price, size, pnl


def cross(bars: Bars, settings: Mapping[str, Any]) -> Run:
    """SMA cross, entry and exit at the next open."""
    return lambda: _told(*_cross(bars.open, bars.close, CASH, FEE, FAST, SLOW))


def bracket(bars: Bars, settings: Mapping[str, Any]) -> Run:
    """The same entry, left at a stop or a target only."""
    return lambda: _told(*_bracket(bars.open, bars.high, bars.low, bars.close, CASH, FEE, FAST, SLOW, STOP, TARGET))


def sweep(bars: Bars, settings: Mapping[str, Any]) -> Run:
    """The cross with every pair of lengths."""

    def run() -> Figures:
        found = [_told(*_cross(bars.open, bars.close, CASH, FEE, fast, slow)) for fast, slow in turn.PAIRS]
        return Figures(sum(each.trades for each in found), sum(each.final_equity for each in found))

    return run


def _told(equity: Any, rows: Any, deepest: float) -> Figures:
    return Figures(rows.shape[1], float(equity[-1]))


@njit(cache=True, error_model="numpy")
def _cross(opened, close, cash, fee, fast, slow):  # noqa: C901 - one piece: a bound calls nothing
    bars = close.shape[0]
    equity, rows = np.empty(bars), np.empty((COLUMNS, bars // 4 + 1))
    short = long = before = size = entry = paid = 0.0
    entered = count = wish = 0
    peak, deepest = cash, 1.0
    for t in range(bars):
        if wish > 0 and size == 0.0:
            entry, entered = opened[t], t
            size = math.floor(cash / (entry * (1.0 + fee)))
            paid = size * entry * fee
            cash -= size * entry + paid
        elif wish < 0 and size > 0.0:
            price = opened[t]
            cost = size * price * fee
            cash += size * price - cost
            rows[0, count], rows[1, count], rows[2, count], rows[3, count] = entered, t, entry, price
            rows[4, count], rows[5, count] = size, size * (price - entry) - paid - cost
            count += 1
            size = 0.0
        value = cash + size * close[t]
        equity[t] = value
        if value > peak:
            peak = value
        elif value < peak * deepest:
            deepest = value / peak
        short += close[t]
        long += close[t]
        if t >= fast:
            short -= close[t - fast]
        if t >= slow:
            long -= close[t - slow]
        wish = 0
        if t >= slow - 1:
            apart = short * slow - long * fast
            if t >= slow:
                wish = int(before < 0.0 < apart) - int(before > 0.0 > apart)
            before = apart
    return equity, rows[:, :count], 1.0 - deepest


# Much of it stands in `_cross` too, on purpose: a bound is the fastest that this one loop can be, so it is written out,
# with no call and no branch for what the other one does.
@njit(cache=True, error_model="numpy")
def _bracket(opened, high, low, close, cash, fee, fast, slow, stop_rate, target_rate):  # noqa: C901 - one piece too
    bars = close.shape[0]
    equity, rows = np.empty(bars), np.empty((COLUMNS, bars // 4 + 1))
    short = long = before = size = entry = paid = stop = target = 0.0
    entered = count = wish = 0
    peak, deepest = cash, 1.0
    for t in range(bars):
        if wish > 0 and size == 0.0:
            entry, entered = opened[t], t
            size = math.floor(cash / (entry * (1.0 + fee)))
            paid = size * entry * fee
            cash -= size * entry + paid
            stop, target = entry * (1.0 - stop_rate), entry * (1.0 + target_rate)
        if size > 0.0 and (low[t] <= stop or high[t] >= target):
            if opened[t] <= stop or opened[t] >= target:
                price = opened[t]
            else:
                price = stop if low[t] <= stop else target
            cost = size * price * fee
            cash += size * price - cost
            rows[0, count], rows[1, count], rows[2, count], rows[3, count] = entered, t, entry, price
            rows[4, count], rows[5, count] = size, size * (price - entry) - paid - cost
            count += 1
            size = 0.0
        value = cash + size * close[t]
        equity[t] = value
        if value > peak:
            peak = value
        elif value < peak * deepest:
            deepest = value / peak
        short += close[t]
        long += close[t]
        if t >= fast:
            short -= close[t - fast]
        if t >= slow:
            long -= close[t - slow]
        wish = 0
        if t >= slow - 1:
            apart = short * slow - long * fast
            if t >= slow:
                wish = int(before < 0.0 < apart)
            before = apart
    return equity, rows[:, :count], 1.0 - deepest


KINDS = {"cross": cross, "bracket": bracket, "sweep": sweep}

if __name__ == "__main__":
    turn.main(KINDS)
