"""The closed bars that strategies look at, read once per instrument and length however many strategies there are."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.domain.strategies.contract import Candles
from apps.market import selectors as market
from apps.market.store import Timeframe
from apps.market.store import candles as store_candles
from apps.market.store.candles import CandleArrays

# Ticks are written in batches a few times a second; a bar is read once its last ones are certain to be there.
SETTLE: Final = timedelta(seconds=1)
# Bars this young are read from the ticks: the roll-up into stored candles may not have come to them yet.
YOUNG: Final = timedelta(minutes=10)
_STORED: Final = {int(frame.width.total_seconds()): frame for frame in Timeframe if frame != Timeframe.SECOND}


class Bars:
    """The candles of one run."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._read: dict[tuple[int, int], tuple[int, Candles]] = {}

    def closed_at(self, bar_seconds: int) -> datetime:
        """Return when the last bar ended that is complete by now."""
        seconds = int((self._now - SETTLE).timestamp())
        return datetime.fromtimestamp(seconds - seconds % bar_seconds, UTC)

    def last(self, instrument_id: int, bar_seconds: int, count: int) -> Candles:
        """Return up to `count` closed bars, oldest first; bars without a trade are absent. Raises StoreUnavailable."""
        key = (instrument_id, bar_seconds)
        asked, found = self._read.get(key, (0, None))
        if found is None or asked < count:
            found = _read(instrument_id, bar_seconds, count, self.closed_at(bar_seconds))
            self._read[key] = (count, found)
        return _part(found, slice(-count, None))


def aligned(markets: Sequence[Candles]) -> list[Candles]:
    """Keep the bars that all markets have."""
    shared = reduce(np.intersect1d, [candles.at for candles in markets])
    return [_part(candles, np.isin(candles.at, shared)) for candles in markets]


def _read(instrument_id: int, bar_seconds: int, count: int, until: datetime) -> Candles:
    """Read young bars from the ticks and older ones where they are stored: ticks are dropped after some days."""
    frame = _STORED.get(bar_seconds)
    if frame is None:
        return _columns(market.candles(instrument_id, bar_seconds, limit=count, until=until))
    young = min(max(1, YOUNG // frame.width), count)
    newest = _columns(market.candles(instrument_id, bar_seconds, limit=young, until=until))
    since = until - young * frame.width
    stored = store_candles.window(market.market_store(), instrument_id, frame, limit=count - young, until=since)
    return _joined(_columns(stored), newest)


def _joined(older: Candles, newer: Candles) -> Candles:
    at = np.concatenate([older.at, newer.at])
    values = (np.concatenate(pair) for pair in zip(older[1:], newer[1:], strict=True))
    opened, high, low, close, volume = values
    return Candles(at, opened, high, low, close, volume)


def _part(candles: Candles, part: "slice | npt.NDArray[np.bool_]") -> Candles:
    at, opened, high, low, close, volume = candles
    return Candles(at[part], opened[part], high[part], low[part], close[part], volume[part])


def _columns(rows: CandleArrays) -> Candles:
    return Candles(rows.at, rows.open, rows.high, rows.low, rows.close, rows.volume)
