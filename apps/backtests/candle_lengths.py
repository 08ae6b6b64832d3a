"""How long are bars, which are missing, and what do longer ones look like that are made of them?"""

from typing import Final

import numpy as np
import numpy.typing as npt

from apps.domain.strategies.contract import Candles

_DAY: Final = 86_400
_LONG_WEEKEND: Final = 5 * _DAY  # the longest that a market which rests is closed every now and then
_RESTLESS: Final = 0.8  # share of bars that are there; currencies, which rest on weekends, come to 0.71


def bar_seconds(at: npt.NDArray[np.int64]) -> int:
    """Return how long a bar lasts: the step that most bars are apart; 0 for a single bar."""
    if len(at) < 2:
        return 0
    steps, counts = np.unique(np.diff(at), return_counts=True)
    return int(steps[int(np.argmax(counts))])


def missing_bars(at: npt.NDArray[np.int64], seconds: int) -> int:
    """Count the bars that are not there.

    Where nearly every bar of the span is there, the market never rests and each step longer than a bar is a hole;
    elsewhere only what is longer than five days is, because nights, weekends, holidays and bars without a trade are no
    holes. Bars longer than a day have no length that could be counted in (months differ): each step over two of them
    counts as one.
    """
    if len(at) < 2 or seconds <= 0:
        return 0
    steps = np.diff(at)
    if seconds > _DAY:
        return int(np.count_nonzero(steps >= 2 * seconds))
    share = len(at) * seconds / (int(at[-1] - at[0]) + seconds)
    holes = steps[steps > (seconds if share > _RESTLESS else max(_LONG_WEEKEND, seconds))]
    return int((holes // seconds - 1).sum())


def joined(fine: Candles, seconds: int) -> Candles:
    """Join bars into longer ones that begin at whole multiples of `seconds`: the first of a bar opens it."""
    bucket = fine.at // seconds
    starts = np.flatnonzero(np.diff(bucket, prepend=bucket[0] - 1))
    ends = np.append(starts[1:], len(bucket)) - 1
    return Candles(
        bucket[starts] * seconds,
        fine.open[starts],
        np.maximum.reduceat(fine.high, starts),
        np.minimum.reduceat(fine.low, starts),
        fine.close[ends],
        np.add.reduceat(fine.volume, starts),
    )
