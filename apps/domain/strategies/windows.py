"""What the last few bars amount to, for every bar at once.

Each value depends on the numbers in its own window only, to the last bit: a running sum would carry the rounding of
everything before (and one bad number for ever), and a live run on a short window would differ from a backtest.
"""

from functools import cache
from math import ceil, log, log1p
from types import ModuleType
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.domain.strategies.contract import Flags, Floats, Stances

FORGOTTEN: Final = 1e-9  # what would weigh less than this in a decaying mean does not count


def mean(values: Floats, length: int) -> Floats:
    """Return the simple mean of the last `length` values at each bar; NaN before there are that many."""
    return _sums(values, 1.0, length, length)


def total(values: Floats, length: int) -> Floats:
    """Return the sum of the last `length` values at each bar; NaN before there are that many."""
    return _sums(values, 1.0, length, 1.0)


def decaying(values: Floats, share: float) -> Floats:
    """Return the mean in which the newest value weighs `share` of all and each older one 1 - share of the next.

    The textbook starts at the first value and never forgets; here the values beyond `reach(share)` bars, which would
    weigh less than a billionth together, do not count. NaN before there are that many.
    """
    decay, length = 1.0 - share, reach(share)
    return _sums(values, decay, length, (1.0 - decay**length) / share)


def reach(share: float) -> int:
    """Return how many bars a decaying mean looks at."""
    return 1 if share >= 1.0 else ceil(log(FORGOTTEN) / log1p(-share))


def deviation(values: Floats, length: int) -> tuple[Floats, Floats]:
    """Return mean and standard deviation (of the population) of the last `length` values; NaN before."""
    source, means = _ready(values, length)
    found = np.empty_like(source)
    _moving().deviations(source, length, means, found)
    return means, found


def highest(values: Floats, length: int) -> Floats:
    """Return the highest of the last `length` values at each bar; NaN before there are that many."""
    source, found = _ready(values, length)
    _moving().highest(source, 1.0, length, found)
    return found


def lowest(values: Floats, length: int) -> Floats:
    """Return the lowest of the last `length` values at each bar; NaN before there are that many."""
    source, found = _ready(values, length)
    _moving().highest(source, -1.0, length, found)
    return found


def before(values: Floats, bars: int = 1) -> Floats:
    """Return what the values were so many bars ago; NaN before there were any."""
    found = np.full(len(values), np.nan)
    found[bars:] = values[: max(len(values) - bars, 0)]
    return found


def change(values: Floats, length: int) -> Floats:
    """Return the rate of change over `length` bars (0.01 is one percent); NaN before there are that many, or from 0."""
    found = np.full(len(values), np.nan)
    older = values[: max(len(values) - length, 0)]
    np.divide(values[length:], older, out=found[length:], where=older != 0.0)
    found -= 1.0
    return found


def rsi(values: Floats, length: int) -> Floats:
    """Return the relative strength index with simple means, 0 to 100; 50 where nothing moved, NaN before the start.

    100 * G / (G + L), G and L the sums of the rises and the falls of the last `length` steps (Cutler's form).
    """
    source, found = _ready(values, length)
    _moving().strengths(source, length, found)
    return found


def ranges(high: Floats, low: Floats, close: Floats) -> Floats:
    """Return how far the price moved in each bar, the gap from the close before it included; NaN at the first bar."""
    arrays = [np.ascontiguousarray(values, np.float64) for values in (high, low, close)]
    found = np.empty(_length(*arrays))
    if len(found):
        _moving().ranges(*arrays, found)
    return found


def means_cross(values: Floats, fast: int, slow: int) -> Stances:
    """Return the side on which the mean of `fast` values stands of that of `slow` ones; what `cross` says, at once.

    One pass without the two means as arrays of their own. Raises ValueError unless fast is less than slow.
    """
    if not 0 < fast < slow:
        raise ValueError(f"fast ({fast}) must be less than slow ({slow})")
    source = np.ascontiguousarray(values, np.float64)
    found = np.empty(len(source), np.int8)
    _moving().means_cross(source, fast, slow, found)
    return found


def cross(one: Floats, other: Floats, scale: Floats | None = None) -> Stances:
    """Return +1 where `one` is above `other`, -1 where below, 0 where equal or not there yet.

    Equal is what differs by less than 1e-12 of `scale` (of `other` by default): in a market that stands still two
    means differ by rounding, and rounding is no reason to trade.
    """
    arrays = [np.ascontiguousarray(values, np.float64) for values in (one, other, other if scale is None else scale)]
    found = np.empty(_length(*arrays), np.int8)
    _moving().cross(*arrays, found)
    return found


def held(on: Flags, off: Flags, memory: int) -> Flags:
    """Return where something that begins `on` a bar and ends `off` a bar lasts; forgotten `memory` bars after `on`.

    Without the end of memory a stance would depend on bars of long ago, which a live run does not read.
    """
    arrays = [np.ascontiguousarray(flags, np.bool_) for flags in (on, off)]
    found = np.empty(_length(*arrays), np.bool_)
    _moving().held(*arrays, memory, found)
    return found


def settled(stances: Stances, warmup: int) -> Stances:
    """Return the stances without those that had less than `warmup` bars to look at."""
    found = stances.copy()
    found[: warmup - 1] = 0
    return found


def stances(longs: Flags, shorts: Flags) -> Stances:
    """Return +1 where long, -1 where short, 0 elsewhere."""
    return longs.astype(np.int8) - shorts.astype(np.int8)


def _sums(values: Floats, decay: float, length: int, divisor: float) -> Floats:
    source, found = _ready(values, length)
    _moving().sums(source, decay, length, float(divisor), found)
    return found


def _ready(values: Floats, length: int) -> tuple[Floats, Floats]:
    # The compiled loops check no bounds: what they get must be right.
    if length < 1:
        raise ValueError(f"a window must hold one bar at least, not {length}")
    source = np.ascontiguousarray(values, np.float64)
    return source, np.empty_like(source)


def _length(*arrays: npt.NDArray[np.generic]) -> int:
    if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 1:
        raise ValueError("the arrays must be of one length")
    return len(arrays[0])


@cache
def _moving() -> ModuleType:
    # Imported at first use: numba takes 0.2 s and 60 MB, and pages that only list strategies compute nothing.
    from apps.domain import moving

    return moving
