"""What is odd about an instrument's stored prices: trades stored twice, candles far from their neighbours."""

from datetime import datetime, timedelta

from apps.domain import numbers
from apps.domain.spans import Span
from apps.market import selectors
from apps.market.models import Inspection, Instrument
from apps.market.store import Timeframe, quality
from apps.market.store.quality import Outlier

LOOKS_BACK = timedelta(days=1)
EVERY = timedelta(hours=1)  # the questions read a whole day


def note_look(instrument: Instrument, span: Span, *, first: datetime, now: datetime) -> Inspection:
    """Write down how far an instrument was looked at, and once an hour what is odd about its last day."""
    row = Inspection.objects.filter(pk=instrument.pk).first()
    if row is None:
        row = Inspection(instrument=instrument, since=first, until=span.until)
    if span.since <= first < row.since:
        row.since, row.until = first, span.until  # older history came in: from here on everything is looked at again
    elif span.since <= row.until:  # a stretch further on does not say that all up to it was looked at
        row.until = max(row.until, span.until)
    row.looked_at = now
    if row.odd_at is None or now - row.odd_at >= EVERY:
        _count(instrument, row, now)
    row.save()
    return row


def _count(instrument: Instrument, row: Inspection, now: datetime) -> None:
    store, since = selectors.market_store(), row.until - LOOKS_BACK
    row.duplicates = quality.doubled_trades(store, instrument.pk, since, row.until)
    band = instrument.jump_band
    found = quality.outliers(store, instrument.pk, Timeframe.MINUTE, since, row.until, band=band)
    row.outliers = [_shown(item) for item in found]
    row.odd_at = now


def _shown(item: Outlier) -> dict[str, str]:
    prices = {"low": item.low, "high": item.high, "before": item.before, "after": item.after}
    shown = {name: numbers.plain(price) for name, price in prices.items() if price is not None}
    return {"at": item.at.isoformat(), **shown}
