"""What the chart page of an instrument shows before its script draws: the price, the feed, the hours."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from apps.domain import numbers
from apps.domain.calendars import NotCovered
from apps.domain.exchanges import UnknownCalendar
from apps.market import calendars
from apps.market.models import FeedStatus, Instrument, Quote
from apps.market.store import Timeframe

TIMEFRAMES = (Timeframe.MINUTE, Timeframe.FIVE_MINUTES, Timeframe.HOUR, Timeframe.DAY)
TEMPLATE = "admin/market/instrument/chart.html"


def page(instrument: Instrument, asked: str, now: datetime) -> dict[str, Any]:
    """Return what the page shows; a length of candles that it does not offer gives the first."""
    timeframe = next((frame for frame in TIMEFRAMES if frame == asked), TIMEFRAMES[0])
    quote = Quote.objects.filter(pk=instrument.pk).first()
    source = (quote and quote.feed) or instrument.feed
    return {
        "instrument": instrument,
        "quote": quote,
        "spread": _spread(quote),
        "source": source,
        "feed": FeedStatus.objects.filter(name=f"{source}:{instrument.shard}").first(),
        "hours": _hours(instrument, now),
        "timeframes": TIMEFRAMES,
        "timeframe": timeframe,
        "seconds": int(timeframe.width.total_seconds()),
        "step": numbers.plain(instrument.tick_size),
    }


def _spread(quote: Quote | None) -> Decimal | None:
    return quote.ask - quote.bid if quote and quote.ask is not None and quote.bid is not None else None


def _hours(instrument: Instrument, now: datetime) -> str:
    try:
        return str(calendars.phase(instrument, now))
    except (NotCovered, UnknownCalendar):
        return "not known"
