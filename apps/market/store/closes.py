"""The closing prices of several instruments at once, for what is valued over a stretch of time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text

from apps.market.store.connection import Store
from apps.market.store.timeframes import Timeframe

CLOSES = text("""
SELECT instrument_id, at, close FROM market.candles
WHERE instrument_id = ANY(:ids) AND timeframe = :timeframe AND at >= :since AND at < :until ORDER BY at
""")


def of(
    store: Store, instrument_ids: Sequence[int], timeframe: Timeframe, since: datetime, until: datetime
) -> list[tuple[int, datetime, Decimal]]:
    """Return (instrument, start of the candle, close) of every candle of [since, until), oldest first.

    Raises StoreUnavailable.
    """
    asked = {"ids": list(instrument_ids), "timeframe": timeframe.value, "since": since, "until": until}
    with store.transaction() as connection:
        return [(one, at, close) for one, at, close in connection.execute(CLOSES, asked)]
