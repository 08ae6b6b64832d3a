"""The comparisons that limits are made of, on plain numbers: Decimal live, compiled on floats in backtests."""

from collections.abc import Sequence
from math import nan, sqrt

import numpy as np
import numpy.typing as npt

from apps.domain.legs import N

Series = Sequence[float] | npt.NDArray[np.float64]

# Returns are compared over at most so many bars, and say nothing when there are no more closes than the second.
ALIKE_BARS = 240
ALIKE_FEWEST = 24
STILL = 1e-24  # squares of returns below this are the rounding of floats, no movement


def too_much(number: N, limit: N) -> bool:
    """Say whether a number is beyond a limit that may just be reached."""
    return number > limit


def too_many(count: int, most: int) -> bool:
    """Say whether one more would be more than `most`."""
    return count >= most


def share(base: N, rate: N) -> N:
    """Return what a rate of the equity comes to."""
    return base * rate


def grown(held: N, value: N) -> N:
    """Return what a measure becomes when a value is added: `held` and `value` carry their signs."""
    return held + value


def lowest(base: N, rate: N) -> N:
    """Return the equity at which a loss of `rate` from `base` is reached."""
    return base * (1 - rate)


def fallen(equity: N, floor: N) -> bool:
    """Say whether an equity has come down to its floor; reaching it is a breach."""
    return equity <= floor


def streak_after(streak: int, pnl: N) -> int:
    """Return how many losses in a row there are after a trade; one that earned nothing ends the row, it is no loss."""
    return streak + 1 if pnl < 0 else 0


def is_asleep(at: N, until: N) -> bool:
    """Say whether a pause that ends at `until` still lasts."""
    return at < until


def nearer(before: N, after: N) -> bool:
    """Say whether a measure that may go to either side comes nearer to nothing."""
    return abs(after) < abs(before)


def away(price: N, last: N) -> N:
    """Return how far a price is from the last one, to either side."""
    return abs(price - last)


def likeness(left: Series, right: Series) -> float:
    """Return the correlation of the returns of two series of closes, -1 to 1; NaN where one of them does not move."""
    count = len(left) - 1
    if count < 2:
        return nan
    mean_left, mean_right = 0.0, 0.0
    for i in range(count):
        mean_left += (left[i + 1] / left[i] - 1.0) / count
        mean_right += (right[i + 1] / right[i] - 1.0) / count
    both, of_left, of_right = 0.0, 0.0, 0.0
    for i in range(count):
        from_left, from_right = left[i + 1] / left[i] - 1.0 - mean_left, right[i + 1] / right[i] - 1.0 - mean_right
        both += from_left * from_right
        of_left += from_left * from_left
        of_right += from_right * from_right
    if not (of_left > STILL and of_right > STILL):
        return nan
    return max(-1.0, min(1.0, both / (sqrt(of_left) * sqrt(of_right))))
