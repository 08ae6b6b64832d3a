"""The candle lengths that are kept, and where their buckets begin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Every bucket begins a whole number of lengths after this instant, so a day is a UTC day."""


class Timeframe(StrEnum):
    """How long one candle lasts; the value is what is stored and shown."""

    SECOND = "1s"
    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    QUARTER = "15m"
    HOUR = "1h"
    DAY = "1d"

    @property
    def width(self) -> timedelta:
        """The length of one candle."""
        return WIDTHS[self]


WIDTHS = {
    Timeframe.SECOND: timedelta(seconds=1),
    Timeframe.MINUTE: timedelta(minutes=1),
    Timeframe.FIVE_MINUTES: timedelta(minutes=5),
    Timeframe.QUARTER: timedelta(minutes=15),
    Timeframe.HOUR: timedelta(hours=1),
    Timeframe.DAY: timedelta(days=1),
}


def floor(at: datetime, width: timedelta) -> datetime:
    """Return the start of the bucket that holds this instant."""
    return EPOCH + (at - EPOCH) // width * width


def ceiling(at: datetime, width: timedelta) -> datetime:
    """Return the first bucket start that is not before this instant."""
    return EPOCH - (EPOCH - at) // width * width
