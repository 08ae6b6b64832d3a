"""How instruments moved together of late: correlations of hourly closes, kept for the hour they were made in."""

from datetime import datetime
from functools import lru_cache

import numpy as np

from apps.domain.errors import Unavailable
from apps.domain.risk import measures
from apps.market.selectors import market_store
from apps.market.store import Timeframe, candles
from apps.market.store.candles import CandleArrays
from apps.market.store.timeframes import floor


def correlation(left: int, right: int, now: datetime) -> float | None:
    """Return the correlation of two instruments' hourly returns, None where too few candles of both are known.

    The first question of an hour reads candles from the market store; later ones are answered from memory.
    """
    until = floor(now, Timeframe.HOUR.width)
    try:
        return _correlation(min(left, right), max(left, right), until)
    except Unavailable:
        return None  # not remembered: the store may be back the next time


def forget() -> None:
    """Forget every answer: candles were changed."""
    _correlation.cache_clear()
    _closes.cache_clear()


@lru_cache(maxsize=8192)
def _correlation(left: int, right: int, until: datetime) -> float | None:
    one, other = _closes(left, until), _closes(right, until)
    _, i, j = np.intersect1d(one.at, other.at, assume_unique=True, return_indices=True)
    if len(i) <= measures.ALIKE_FEWEST:
        return None
    found = measures.likeness(one.close[i].tolist(), other.close[j].tolist())
    return found if found == found else None  # NaN: a price that never moved is like no other


@lru_cache(maxsize=2048)
def _closes(instrument_id: int, until: datetime) -> CandleArrays:
    return candles.window(market_store(), instrument_id, Timeframe.HOUR, limit=measures.ALIKE_BARS, until=until)
