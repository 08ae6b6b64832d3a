"""Compiled loops over the last few bars of every bar, whose values depend on the numbers of their own window only.

A window is put together from halves: sums of 1, 2, 4, 8, ... bars, each from two of the one before, and the wanted
length from the powers of two it consists of. So a value is one fixed expression of its own window, to the last bit,
and a bar costs log2(length) additions, of which the processor does several at a time. The work is done in steps short
enough for their scratch to stay in the processor's cache.
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from apps.domain import compiled

Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Stances: TypeAlias = npt.NDArray[np.int8]

STEP: Final = 8192  # bars; a few rows of scratch of this length fit the second cache with room to spare
SAME: Final = 1e-12  # of the scale: numbers that differ by less differ by rounding only


@compiled.loop
def _join(source: Floats, weight: float, width: int, target: Floats) -> None:
    """Add to each value the one `width` before it, times `weight`."""
    count = len(source) - width
    older, newer, into = source[:count], source[width:], target[width:]
    if weight == 1.0:
        for i in range(count):
            into[i] = newer[i] + older[i]
    else:
        for i in range(count):
            into[i] = newer[i] + weight * older[i]


@compiled.loop
def _extend(source: Floats, weight: float, done: int, found: Floats) -> None:
    """Let `found`, which covers the last `done` values, reach as far back as `source` does from there."""
    count = len(source) - done
    older, into = source[:count], found[done:]
    if done == 0:
        for i in range(count):
            into[i] = older[i]
    else:
        for i in range(count):
            into[i] += weight * older[i]


@compiled.loop
def _sums(source: Floats, decay: float, length: int, rows: Floats, found: Floats) -> None:
    """Put the sum of the last `length` values at each place, the one i bars ago times decay**i.

    The first length - 1 places mean nothing. `rows` are two rows of scratch as long as `source`.
    """
    width, done, rest, row = 1, 0, length, 0
    weight, reached = decay, 1.0
    have = source
    while True:
        if rest & 1:
            _extend(have, reached, done, found)
            done += width
            reached *= weight
        rest >>= 1
        if rest == 0:
            return
        _join(have, weight, width, rows[row, : len(source)])
        have = rows[row, : len(source)]
        row = 1 - row
        width *= 2
        weight *= weight


@compiled.loop
def _step(length: int) -> int:
    """Return how many bars a step computes: several windows at least, for a window's bars are read before the first."""
    return max(STEP, 4 * length)


@compiled.loop
def _blank(found: Floats, count: int) -> None:
    # Assigning to a slice would say the same and take seconds to compile.
    for i in range(min(count, len(found))):
        found[i] = np.nan


@compiled.loop
def sums(values: Floats, decay: float, length: int, divisor: float, found: Floats) -> None:
    """Put the (decayed) sum of the last `length` values over `divisor` at each bar; NaN before there are that many."""
    lead, size = length - 1, _step(length)
    rows, total = np.empty((2, size + lead)), np.empty(size + lead)
    _blank(found, lead)
    for start in range(lead, len(values), size):
        window = values[start - lead : start + size]
        _sums(window, decay, length, rows, total)
        into, part = found[start : start + size], total[lead : len(window)]
        for i in range(len(part)):
            into[i] = part[i] / divisor


@compiled.loop
def means_cross(values: Floats, fast: int, slow: int, found: Stances) -> None:
    """Put the side on which the mean of the last `fast` values stands of that of the last `slow` ones, fast < slow."""
    lead, size = slow - 1, _step(slow)
    rows, short, long = np.empty((2, size + lead)), np.empty(size + lead), np.empty(size + lead)
    for i in range(min(lead, len(found))):
        found[i] = 0
    for start in range(lead, len(values), size):
        window = values[start - lead : start + size]
        _sums(window, 1.0, fast, rows, short)
        _sums(window, 1.0, slow, rows, long)
        into, above, below = found[start : start + size], short[lead : len(window)], long[lead : len(window)]
        for i in range(len(above)):
            one, other = above[i] * slow, below[i] * fast
            into[i] = _side(one, other, other)


@compiled.rule
def _side(one: float, other: float, scale: float) -> np.int8:
    limit = SAME * abs(scale)
    return np.int8(np.int8(one - other > limit) - np.int8(other - one > limit))


@compiled.loop
def cross(one: Floats, other: Floats, scale: Floats, found: Stances) -> None:
    """Put +1 where `one` is above `other`, -1 where below, 0 where they differ by rounding only or are not there."""
    for i in range(len(one)):
        found[i] = _side(one[i], other[i], scale[i])


@compiled.loop
def _join_spreads(total: Floats, spread: Floats, width: int, target: Floats) -> None:
    """Double windows of squared distances from their mean (Chan, Golub, LeVeque: nothing cancels)."""
    count = len(total) - width
    old_total, new_total = total[:count], total[width:]
    old_spread, new_spread, into = spread[:count], spread[width:], target[width:]
    share = 0.5 / width
    for i in range(count):
        apart = new_total[i] - old_total[i]
        into[i] = new_spread[i] + old_spread[i] + share * apart * apart


@compiled.loop
def _extend_spreads(total: Floats, spread: Floats, width: int, done: int, found: Floats, found_spread: Floats) -> None:
    """Let squared distances over `done` values reach `width` further back; `found` are the sums they belong to."""
    count = len(total) - done
    old_total, old_spread, new_total, into = total[:count], spread[:count], found[done:], found_spread[done:]
    if done == 0:
        _extend(spread, 1.0, 0, found_spread)
        return
    share, mean, old_mean = done * width / (done + width), 1.0 / done, 1.0 / width
    for i in range(count):
        apart = new_total[i] * mean - old_total[i] * old_mean
        into[i] += old_spread[i] + share * apart * apart


@compiled.loop
def _spreads(source: Floats, length: int, rows: Floats, found: Floats, found_spread: Floats) -> None:
    """Put sums and squared distances from the mean of the last `length` values; `rows` are four rows of scratch."""
    count = len(source)
    width, done, rest, row = 1, 0, length, 2
    total, spread = source, rows[0, :count]
    for i in range(count):
        spread[i] = 0.0
    while True:
        if rest & 1:
            _extend_spreads(total, spread, width, done, found, found_spread)
            _extend(total, 1.0, done, found)
            done += width
        rest >>= 1
        if rest == 0:
            return
        _join(total, 1.0, width, rows[row, :count])
        _join_spreads(total, spread, width, rows[row + 1, :count])
        total, spread = rows[row, :count], rows[row + 1, :count]
        row = 2 - row
        width *= 2


@compiled.loop
def deviations(values: Floats, length: int, means: Floats, found: Floats) -> None:
    """Put mean and standard deviation (of the whole, not of a sample) of the last `length` values; NaN before."""
    lead, size = length - 1, _step(length)
    rows, total, spread = np.empty((4, size + lead)), np.empty(size + lead), np.empty(size + lead)
    _blank(means, lead)
    _blank(found, lead)
    for start in range(lead, len(values), size):
        window = values[start - lead : start + size]
        _spreads(window, length, rows, total, spread)
        into_mean, into = means[start : start + size], found[start : start + size]
        full, apart = total[lead : len(window)], spread[lead : len(window)]
        for i in range(len(into)):
            into_mean[i] = full[i] / length
            into[i] = np.sqrt(apart[i] / length)


@compiled.loop
def _join_highest(source: Floats, width: int, target: Floats) -> None:
    count = len(source) - width
    older, newer, into = source[:count], source[width:], target[width:]
    for i in range(count):
        into[i] = newer[i] if newer[i] > older[i] else older[i]


@compiled.loop
def highest(values: Floats, sign: float, length: int, found: Floats) -> None:
    """Put the highest of the last `length` values at each bar, the lowest where `sign` is -1; NaN before."""
    lead, size = length - 1, _step(length)
    rows, last = np.empty((2, size + lead)), np.empty(size + lead)
    _blank(found, lead)
    for start in range(lead, len(values), size):
        window = values[start - lead : start + size]
        count, row, width = len(window), 0, 1
        for i in range(count):
            rows[0, i] = sign * window[i]
        while 2 * width <= length:
            _join_highest(rows[row, :count], width, rows[1 - row, :count])
            row, width = 1 - row, 2 * width
        # Two windows of a power of two, one from either end, cover the whole: what lies in both counts once.
        _join_highest(rows[row, :count], length - width, last)
        into, part = found[start : start + size], last[lead:count]
        for i in range(len(into)):
            into[i] = sign * part[i]


@compiled.loop
def strengths(values: Floats, length: int, found: Floats) -> None:
    """Put 100 * rises / (rises + falls) over the last `length` steps; 50 where nothing moved, NaN before."""
    lead, size = length, _step(length)
    rows, moves = np.empty((2, size + lead)), np.empty((2, size + lead))
    rises, falls = np.empty(size + lead), np.empty(size + lead)
    _blank(found, lead)
    for start in range(lead, len(values), size):
        window = values[start - lead : start + size]
        count = len(window) - 1
        up, down = moves[0, :count], moves[1, :count]
        _steps(window, up, down)
        _sums(up, 1.0, length, rows, rises)
        _sums(down, 1.0, length, rows, falls)
        into, rise, fall = found[start : start + size], rises[length - 1 : count], falls[length - 1 : count]
        for i in range(len(into)):
            moved = rise[i] + fall[i]
            into[i] = 100.0 * rise[i] / moved if moved > 0.0 else 50.0


@compiled.loop
def _steps(values: Floats, up: Floats, down: Floats) -> None:
    older, newer = values[:-1], values[1:]
    for i in range(len(up)):
        step = newer[i] - older[i]
        up[i] = step if step > 0.0 else 0.0
        down[i] = -step if step < 0.0 else 0.0


@compiled.loop
def ranges(high: Floats, low: Floats, close: Floats, found: Floats) -> None:
    """Put how far the price moved from the close before to the far end of each bar; NaN at the first bar."""
    _blank(found, 1)
    before, top, bottom, into = close[:-1], high[1:], low[1:], found[1:]
    for i in range(len(into)):
        upper = top[i] if top[i] > before[i] else before[i]
        lower = bottom[i] if bottom[i] < before[i] else before[i]
        into[i] = upper - lower


@compiled.loop
def held(on: Flags, off: Flags, memory: int, found: Flags) -> None:
    """Put true where the newest of the last `memory` bars that was on or off was on; on wins where a bar is both."""
    age = memory
    for i in range(len(on)):
        if on[i]:
            age = 0
        elif off[i]:
            age = memory
        else:
            age = min(age + 1, memory)
        found[i] = age < memory
