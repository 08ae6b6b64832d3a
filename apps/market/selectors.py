"""Reading prices: the latest quotes and the candles of an instrument."""

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings

from apps.market.models import Quote


def quote_of(instrument_id: int) -> Quote | None:
    """Return the latest quote of an instrument, or None before its first."""
    return Quote.objects.filter(pk=instrument_id).first()


def quotes(instrument_ids: Sequence[int]) -> dict[int, Quote]:
    """Return the latest quotes of several instruments by instrument id."""
    return Quote.objects.in_bulk(list(instrument_ids))


def is_fresh(quote: Quote, now: datetime) -> bool:
    """Say whether a quote may price an entry: the feed said something about it recently, a heartbeat included."""
    return now - max(quote.heard_at, quote.received_at) <= settings.QUOTE_STALE_AFTER
