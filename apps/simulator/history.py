"""One-minute candles of the time before the exchange started, made from the seed when somebody asks for them.

The past is cut into blocks of 1,440 minutes counted back from the start. A block is a pure function of seed, product
and block number, so any minute of the last three years can be had without making the ones in between. It has the same
volatility, clusters and pull as live trading, on top of a slow walk from day to day.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from apps.simulator import market
from apps.simulator.products import Product

Floats = NDArray[np.float64]
Bars = tuple[NDArray[np.int64], Floats, Floats, Floats, Floats, Floats]
"""minute since the epoch, low, high, open, close, volume; ascending, minutes without a trade left out"""

DAY = 1440
MAX_DAYS = 3 * 365
SLOW_STDEV = 0.02  # of the day-to-day walk, per day
SIGMA_MINUTE = market.SIGMA_SECOND * math.sqrt(60.0)
PULL = 0.5 ** (60.0 / market.PULL_HALF_LIFE)
CLUSTER = math.exp(-60.0 / market.CLUSTER_SECONDS)


class History:
    """The past of one product up to, and not including, `end_minute`, where it meets the starting price."""

    def __init__(self, product: Product, *, seed: int, end_minute: int, rate: float, volatility: float) -> None:
        """`rate` is trades per second of this product: it decides volume, and how many minutes have no trade."""
        self._product = product
        self._seed = seed
        self.end_minute = end_minute
        self._volatility = volatility
        self._volume = market.MEAN_NOTIONAL * 60.0 * min(rate, 5.0) / float(product.start_price)
        self._absent = max(0.002, math.exp(-60.0 * rate))

    def bars(self, first: int, last: int) -> Bars:
        """The minutes from `first` up to and including `last`, as far as they lie in this past."""
        last = min(last, self.end_minute - 1)
        first = max(first, self.end_minute - MAX_DAYS * DAY)
        if first > last:
            return empty()
        newest, oldest = (self.end_minute - 1 - last) // DAY, (self.end_minute - 1 - first) // DAY
        whole = joined([self._bars_of_block(number) for number in range(oldest, newest - 1, -1)])
        inside = (whole[0] >= first) & (whole[0] <= last)
        return take(whole, inside)

    def _bars_of_block(self, number: int) -> Bars:
        stream = self._product.stream
        slow = _levels(self._seed, stream)
        path, above, below, activity, luck = _block(self._seed, stream, number)
        base = math.log(float(self._product.start_price))
        start, end = slow[number + 1], slow[number]
        level = base + self._volatility * (start + (end - start) * np.arange(1, DAY + 1) / DAY + path)
        close = np.exp(level)
        opened = np.concatenate(([math.exp(base + self._volatility * start)], close[:-1]))
        high = np.maximum(opened, close) * np.exp(self._volatility * above)
        low = np.minimum(opened, close) * np.exp(-self._volatility * below)
        places, tick = self._product.quote_decimals, 10.0**-self._product.quote_decimals
        low, high, opened, close = (np.maximum(tick, np.round(prices, places)) for prices in (low, high, opened, close))
        minutes = self.end_minute - (number + 1) * DAY + np.arange(DAY, dtype=np.int64)
        volume = np.round(self._volume * activity, self._product.base_decimals)
        return take((minutes, low, high, opened, close, volume), luck >= self._absent)


def empty() -> Bars:
    """No bars at all."""
    return (np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0), np.empty(0), np.empty(0))


def take(bars: Bars, which: NDArray[np.bool_]) -> Bars:
    """The bars that `which` marks."""
    return (bars[0][which], bars[1][which], bars[2][which], bars[3][which], bars[4][which], bars[5][which])


def joined(parts: list[Bars]) -> Bars:
    """Several runs of bars as one, in the order given."""
    minutes = np.concatenate([part[0] for part in parts])
    low, high, opened, close, volume = (np.concatenate([part[i] for part in parts]) for i in range(1, 6))
    return (minutes, low, high, opened, close, volume)


def aggregate(bars: Bars, minutes: int) -> Bars:
    """Candles of `minutes` minutes each, on the clock's grid; buckets without trades are absent."""
    if not len(bars[0]):
        return bars
    buckets, starts = np.unique(bars[0] // minutes, return_index=True)
    ends = np.append(starts[1:], len(bars[0])) - 1
    return (
        buckets * minutes,
        np.minimum.reduceat(bars[1], starts),
        np.maximum.reduceat(bars[2], starts),
        bars[3][starts],
        bars[4][ends],
        np.add.reduceat(bars[5], starts),
    )


@lru_cache(maxsize=4096)
def _levels(seed: int, stream: int) -> Floats:
    """The slow walk at the end of each block, 0 at the start of trading, going back in time."""
    steps = np.random.default_rng([seed, stream, 4]).standard_normal(MAX_DAYS + 1) * SLOW_STDEV
    return np.concatenate(([0.0], np.cumsum(steps)))


@lru_cache(maxsize=512)
def _block(seed: int, stream: int, number: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Log path (0 at both ends), reach above and below each bar, activity (1 on average), and luck in [0, 1)."""
    rng = np.random.default_rng([seed, stream, 5, number])
    noise = market.CLUSTER_STDEV * math.sqrt(1.0 - CLUSTER**2) * rng.standard_normal(DAY)
    wildness = np.exp(_smoothed(noise, CLUSTER) - 0.5 * market.CLUSTER_STDEV**2)
    path = _smoothed(SIGMA_MINUTE * wildness * rng.standard_normal(DAY), PULL)
    path -= path[-1] * PULL ** np.arange(DAY - 1, -1, -1)  # ends at 0, so that blocks join without a jump
    above, below = 0.4 * SIGMA_MINUTE * wildness * np.abs(rng.standard_normal((2, DAY)))
    activity = wildness * rng.lognormal(-0.125, 0.5, DAY)
    return path, above, below, activity, rng.random(DAY)


def _smoothed(noise: Floats, factor: float) -> Floats:
    """The sums x[t] = factor * x[t-1] + noise[t], by doubling instead of a loop."""
    total, reach = noise.copy(), 1
    while reach < len(total):
        total[reach:] += factor**reach * total[:-reach].copy()
        reach *= 2
    return total
