"""Making candles from ticks, and keeping the store's partitions ahead of time and within retention."""

from datetime import datetime, timedelta

from django.conf import settings

from apps.market.models import Instrument
from apps.market.selectors import market_store
from apps.market.store import Timeframe, partitions
from apps.market.store import candles as store_candles

# Late trades still join a bucket for this long; what comes later is joined by a repeat over a longer span.
_OVERLAP = timedelta(minutes=5)


def roll_up(now: datetime) -> int:
    """Make the one-minute candles of the last minutes from the ticks; return how many were new or different.

    Safe to repeat and to run at once. Raises StoreUnavailable.
    """
    ids = list(Instrument.objects.values_list("pk", flat=True))
    return store_candles.roll_up(market_store(), ids, Timeframe.MINUTE, now - _OVERLAP, now) if ids else 0


def upkeep(now: datetime) -> tuple[list[str], list[str]]:
    """Make the store's partitions ahead and drop ticks beyond retention; return the names made and dropped."""
    store = market_store()
    made = partitions.ahead(store, now)
    keep = {"ticks": timedelta(days=settings.TICK_RETENTION_DAYS)}
    return made, partitions.drop_older(store, keep, now)
