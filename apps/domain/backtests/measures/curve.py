"""What one pass over an equity curve tells: extremes, drawdowns, and the spread of its returns per bar."""

from typing import NamedTuple

import numpy as np

from apps.domain import compiled
from apps.domain.backtests.measures.sampling import Ints
from apps.domain.strategies.contract import Floats


class Curve(NamedTuple):
    """Depths are shares of the peak before (0.2 is 20 %), times are seconds, bars are counted from 0.

    A drawdown lasts from the last bar at a peak to the first bar back at it, or to the last bar of all.
    """

    peak: float
    lowest: float
    deepest: float
    deepest_from: int
    deepest_at: int
    falls: int
    depth_sum: float
    seconds_sum: float
    seconds_longest: float
    longest_from: int
    longest_until: int
    under_water: int
    depth_total: float
    depth_squares: float
    return_sum: float
    return_squares: float


def of(at: Ints, equity: Floats) -> Curve:
    """Walk the curve once. Needs one bar at least; a fall below zero counts as more than 100 %."""
    return Curve(*_walk(at, equity))


@compiled.loop
def _walk(at, equity):  # type: ignore[no-untyped-def] # numba types it by its arguments
    peak = lowest = trough = before = equity[0]
    peak_bar = trough_bar = 0
    deepest, deepest_from, deepest_at = 0.0, 0, 0
    count, depth_sum, seconds_sum, longest, longest_from, longest_until = 0, 0.0, 0.0, 0.0, 0, 0
    under, inverse, depth_total, depth_squares = 0, 1.0 / peak, 0.0, 0.0
    total, squares = 0.0, 0.0
    last = len(equity) - 1
    for bar in range(1, len(equity)):
        now = equity[bar]
        change = now / before - 1.0 if before > 0 else 0.0
        total += change
        squares += change * change
        before = now
        if now < peak:
            depth = 1.0 - now * inverse
            depth_total += depth
            depth_squares += depth * depth
            under += 1
            if now < trough:
                trough, trough_bar = now, bar
                lowest = min(lowest, now)
            if bar < last:
                continue
        if trough < peak:
            depth = 1.0 - trough / peak
            seconds = float(at[bar] - at[peak_bar])
            count += 1
            depth_sum += depth
            seconds_sum += seconds
            if depth > deepest:
                deepest, deepest_from, deepest_at = depth, peak_bar, trough_bar
            if seconds > longest:
                longest, longest_from, longest_until = seconds, peak_bar, bar
        peak = max(peak, now)
        inverse = 1.0 / peak
        trough, peak_bar = peak, bar
    return (
        peak, lowest, deepest, deepest_from, deepest_at, count, depth_sum, seconds_sum, longest, longest_from,
        longest_until, under, depth_total, depth_squares, total, squares,
    )  # fmt: skip


def depths(equity: Floats) -> Floats:
    """Return how far each bar is below the peak before it, as a share of that peak."""
    peaks = np.maximum.accumulate(equity)
    return 1.0 - np.divide(equity, peaks, out=np.ones_like(equity), where=peaks > 0)
