"""Reading prices: the latest quotes and the candles of an instrument."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple

from django.conf import settings

from apps.market import store
from apps.market.models import Instrument, Quote
from apps.market.store import candles as store_candles
from apps.market.store.candles import CandleArrays


def quote_of(instrument_id: int) -> Quote | None:
    """Return the latest quote of an instrument, or None before its first."""
    return Quote.objects.filter(pk=instrument_id).first()


def quotes(instrument_ids: Sequence[int]) -> dict[int, Quote]:
    """Return the latest quotes of several instruments by instrument id."""
    return Quote.objects.in_bulk(list(instrument_ids))


class Place(NamedTuple):
    """Where an instrument is followed, whether new positions may be opened on it, and when its quote was traded."""

    shard: int
    enabled: bool
    at: datetime | None


def elsewhere(shard: int, instrument_ids: Collection[int]) -> dict[int, Place]:
    """Return the places of those instruments that are on another shard than this one, by instrument id."""
    if not instrument_ids:
        return {}
    rows = Instrument.objects.filter(pk__in=instrument_ids).exclude(shard=shard)
    return {key: Place._make(place) for key, *place in rows.values_list("pk", "shard", "enabled", "quote__at")}


def is_fresh(quote: Quote, now: datetime) -> bool:
    """Say whether a quote may price an entry: the feed said something about it recently, a heartbeat included."""
    return now - max(quote.heard_at, quote.received_at) <= settings.QUOTE_STALE_AFTER


@cache
def market_store() -> store.Store:
    """Return this site's market store; it opens nothing before the first use."""
    return store.connect(settings.MARKET_DATABASE_URL)


def candles(instrument_id: int, bar_seconds: int, limit: int, until: datetime) -> CandleArrays:
    """Return the last `limit` bars of any whole number of seconds that closed by `until`, oldest first, from the ticks.

    Bars without a trade are absent. Raises StoreUnavailable.
    """
    width = timedelta(seconds=bar_seconds)
    closed = datetime.fromtimestamp(until.timestamp() // bar_seconds * bar_seconds, until.tzinfo)
    return store_candles.from_ticks_window(market_store(), instrument_id, width, buckets_back=limit, until=closed)
