"""Instruments with their prices, and the page of one: candles, what was traded on them, levels to drag."""

from django.http import Http404, HttpRequest, HttpResponse

from apps.access.desk import pages
from apps.market import charting
from apps.market import selectors as market
from apps.market.models import Instrument
from apps.web.desk import doors, ways_out


@doors.page
def show_all(request: HttpRequest) -> HttpResponse:
    """List what may be traded with its last price."""
    now = pages.now()
    rows = list(Instrument.objects.select_related("quote").order_by("-enabled", "symbol")[:500])
    quotes = [getattr(row, "quote", None) for row in rows]
    fresh = [quote is not None and market.is_fresh(quote, now) for quote in quotes]
    held = set(ways_out.open_ones(request.user).order_by().values_list("instrument_id", flat=True).distinct())
    context = {"title": "Instruments", "rows": list(zip(rows, quotes, fresh, strict=True)), "held": held}
    return doors.show(request, "instruments", context)


@doors.page
def show(request: HttpRequest, instrument_id: int) -> HttpResponse:
    """Show the candles of an instrument with the person's own positions."""
    instrument = Instrument.objects.filter(pk=instrument_id).first()
    if instrument is None:
        raise Http404
    now = pages.now()
    told = charting.page(instrument, request.GET.get("timeframe", ""), now)
    rows = ways_out.held(ways_out.open_ones(request.user).filter(instrument=instrument), now)
    fresh = told["quote"] is not None and market.is_fresh(told["quote"], now)
    return doors.show(request, "instrument", {**told, "title": str(instrument), "rows": rows, "fresh": fresh})
