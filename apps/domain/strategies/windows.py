"""What the last few bars amount to, for every bar at once.

Each value depends on the numbers in its own window only, to the last bit: a running sum would carry the rounding of
everything before, and a live run on a short window would differ from a backtest.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from apps.domain.strategies.contract import Floats, Stances


def mean(values: Floats, length: int) -> Floats:
    """Return the simple mean of the last `length` values at each bar; NaN before there are that many."""
    found = np.full(len(values), np.nan)
    if len(values) >= length:
        found[length - 1 :] = sliding_window_view(values, length).mean(axis=1)
    return found


def change(values: Floats, length: int) -> Floats:
    """Return the rate of change over `length` bars (0.01 is one percent); NaN before there are that many."""
    found = np.full(len(values), np.nan)
    found[length:] = values[length:] / values[: max(len(values) - length, 0)] - 1.0
    return found


def rsi(values: Floats, length: int) -> Floats:
    """Return the relative strength index with simple means, 0 to 100; 50 where nothing moved, NaN before the start.

    100 * G / (G + L), G and L the sums of the rises and the falls of the last `length` steps (Cutler's form; Wilder's
    smoothing would depend on where the data begins).
    """
    found = np.full(len(values), np.nan)
    if len(values) <= length:
        return found
    steps = sliding_window_view(np.diff(values), length)
    rises = np.maximum(steps, 0.0).sum(axis=1)
    falls = np.maximum(-steps, 0.0).sum(axis=1)
    moved = rises + falls
    found[length:] = 100.0 * np.divide(rises, moved, out=np.full_like(moved, 0.5), where=moved > 0)
    return found


def stances(
    longs: "np.ndarray[tuple[int], np.dtype[np.bool_]]", shorts: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
) -> Stances:
    """Return +1 where long, -1 where short, 0 elsewhere."""
    return longs.astype(np.int8) - shorts.astype(np.int8)
