"""Making candles from ticks, and keeping the store's partitions ahead of time and within retention."""

from datetime import datetime, timedelta

from django.conf import settings

from apps.market.models import Instrument
from apps.market.selectors import market_store
from apps.market.store import Timeframe, partitions
from apps.market.store import candles as store_candles
from apps.market.store.timeframes import ceiling, floor

# Late trades still join a bucket for this long; what comes later is joined by a repeat over a longer span.
_OVERLAP = timedelta(minutes=5)


# Longer candles are made of the next shorter ones, so that a day is 24 rows and not a million ticks.
_LONGER = (
    (Timeframe.FIVE_MINUTES, Timeframe.MINUTE),
    (Timeframe.QUARTER, Timeframe.FIVE_MINUTES),
    (Timeframe.HOUR, Timeframe.QUARTER),
    (Timeframe.DAY, Timeframe.HOUR),
)


def roll_up(now: datetime) -> int:
    """Make the candles of the last minutes, from the ticks up to the day; return how many were new or different.

    Safe to repeat and to run at once. Raises StoreUnavailable.
    """
    ids = list(Instrument.objects.values_list("pk", flat=True))
    if not ids:
        return 0
    store, since = market_store(), now - _OVERLAP
    made = store_candles.roll_up(store, ids, Timeframe.MINUTE, since, now)
    for timeframe, source in _LONGER:
        made += store_candles.roll_up(store, ids, timeframe, since, now, source=source)
    return made


def lengthen(instrument_id: int, timeframe: Timeframe, since: datetime, until: datetime) -> int:
    """Make the longer candles anew that touch a span whose candles of `timeframe` came in late, by file or by REST.

    Returns how many were new or different; those that the venue told stay. Raises StoreUnavailable.
    """
    store, made = market_store(), 0
    for longer, shorter in _LONGER:
        if shorter.width >= timeframe.width >= Timeframe.MINUTE.width:
            first, end = floor(since, longer.width), ceiling(until, longer.width)
            partitions.ensure(store, partitions.CANDLES[longer], first, end)
            made += store_candles.roll_up(store, [instrument_id], longer, first, end, source=shorter)
    return made


def upkeep(now: datetime) -> tuple[list[str], list[str]]:
    """Make the store's partitions ahead and drop ticks beyond retention; return the names made and dropped."""
    store = market_store()
    made = partitions.ahead(store, now)
    keep = {"ticks": timedelta(days=settings.TICK_RETENTION_DAYS)}
    return made, partitions.drop_older(store, keep, now)
