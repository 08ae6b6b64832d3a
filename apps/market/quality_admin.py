"""The admin's page on the quality of stored prices: what is covered day by day, what is missing, stale or odd."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from apps.access.desk import cells, pages
from apps.access.desk.rows import ReadOnlyPage
from apps.domain import spans
from apps.domain.spans import Span
from apps.market import selectors
from apps.market.models import Coverage, Gap, Inspection, Instrument
from apps.market.services import gaps
from apps.market.store import StoreUnavailable, quality

DAYS = 28
PER_PAGE = 25
OPEN_SHOWN = 50
DAY = timedelta(days=1)
LATE = timedelta(minutes=5)  # an instrument that was not looked at for so long: the job does not run
_STATES = {"open": "bad", "bridged": "warn", "filled": "good"}


class Cell(NamedTuple):
    """One day of one instrument: how much of it is missing, in words and as a tone."""

    tone: str
    title: str


class Line(NamedTuple):
    """One instrument in the heat map."""

    instrument: Instrument
    cells: list[Cell]
    open_gaps: int
    stale: bool
    seen: datetime | None
    duplicates: int
    outliers: list[dict[str, str]]
    looked_at: datetime | None
    late: bool


@admin.register(Gap)
class GapAdmin(ReadOnlyPage):
    """Every stretch of which something is missing, or was."""

    list_display = (
        cells.linked("instrument"),
        "kind",
        cells.word("state", tones=_STATES),
        cells.instant("since"),
        cells.instant("until"),
        "first_id",
        "last_id",
        cells.text("why"),
    )
    shown = (*list_display, "attempts", *(cells.instant(name) for name in ("found_at", "tried_at", "filled_at")))
    list_filter = ("state", "kind")
    search_fields = ("instrument__symbol",)
    list_select_related = ("instrument",)


@admin.register(Coverage)
class CoverageAdmin(ReadOnlyPage):
    """The stretches of which every candle is known."""

    list_display = (cells.linked("instrument"), "timeframe", cells.instant("since"), cells.instant("until"))
    list_filter = ("timeframe",)
    search_fields = ("instrument__symbol",)
    list_select_related = ("instrument",)
    ordering = ("instrument__symbol", "timeframe", "since")


@admin.register(Inspection)
class InspectionAdmin(ReadOnlyPage):
    """The quality of the stored prices at a glance, in place of a list of rows."""

    list_display = (cells.linked("instrument"), cells.instant("since"), cells.instant("until"), "duplicates")
    shown = (*list_display, cells.instant("looked_at"), cells.instant("odd_at"), cells.facts("outliers"))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the heat map, the open gaps, and what is odd."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = pages.now()
        until = datetime.combine(now.date() + DAY, time(), UTC)
        listed = Paginator(Instrument.objects.filter(enabled=True).order_by("symbol"), PER_PAGE)
        page = listed.get_page(request.GET.get("p"))
        lines, trouble = _lines(page, until, now)
        open_gaps = gaps.unfilled().select_related("instrument").order_by("-state", "-until", "pk")
        context = {
            **self.admin_site.each_context(request),
            **(extra_context or {}),
            "opts": self.model._meta,
            "title": "Data quality",
            "days": [until - DAY * count for count in range(DAYS, 0, -1)],
            "lines": lines,
            "any_odd": any(line.outliers for line in lines),
            "trouble": trouble,
            "page": page,
            "open_gaps": open_gaps[:OPEN_SHOWN],
            "open_count": open_gaps.filter(state=Gap.State.OPEN).count(),
            "bridged_count": open_gaps.filter(state=Gap.State.BRIDGED).count(),
            "now": now,
        }
        return TemplateResponse(request, "admin/market/quality.html", context)


def _lines(page: "Page[Instrument]", until: datetime, now: datetime) -> tuple[list[Line], str]:
    """Return a line per instrument of the page; without the store the counts are missing, and it is said."""
    since, ids, trouble = until - DAYS * DAY, [row.pk for row in page], ""
    counts: dict[tuple[int, date], int] = {}
    try:
        store = selectors.market_store()
        counts = quality.candles_per_day(store, ids, gaps.TIMEFRAME, since, until)
    except StoreUnavailable as error:
        trouble = str(error)
    missing = _missing(ids, since)
    looks = Inspection.objects.in_bulk(ids)
    quotes = selectors.quotes(ids)
    lines = []
    for row in page:
        look, quote = looks.get(row.pk), quotes.get(row.pk)
        days = [_cell(row.pk, until - DAY * n, counts, missing.get(row.pk, []), look) for n in range(DAYS, 0, -1)]
        lines.append(
            Line(
                instrument=row,
                cells=days,
                open_gaps=len(missing.get(row.pk, [])),
                stale=quote is None or not selectors.is_fresh(quote, now),
                seen=None if quote is None else max(quote.heard_at, quote.received_at),
                duplicates=look.duplicates if look else 0,
                outliers=look.outliers if look else [],
                looked_at=look.looked_at if look else None,
                late=look is None or now - look.looked_at > LATE,
            )
        )
    return lines, trouble


def _missing(ids: list[int], since: datetime) -> dict[int, list[Span]]:
    rows = Gap.objects.filter(instrument_id__in=ids, state=Gap.State.OPEN, until__gt=since)
    found: dict[int, list[Span]] = {}
    for one, start, end in rows.values_list("instrument_id", "since", "until"):
        found.setdefault(one, []).append(gaps.touched(Span(start, end)) if end == start else Span(start, end))
    return found


def _cell(
    one: int, day: datetime, counts: dict[tuple[int, date], int], missing: list[Span], look: Inspection | None
) -> Cell:
    span = Span(day, day + DAY)
    stored = counts.get((one, day.date()), 0)
    lost = spans.length(spans.within(missing, span))
    label = f"{day:%Y-%m-%d}: {stored} candles of a minute"
    if lost:
        share = lost / DAY
        tone = "little" if share < 0.01 else "some" if share < 0.25 else "much"
        return Cell(tone, f"{label}, {_spelled(lost)} missing")
    if look is None or day + DAY <= look.since or day >= look.until:
        return Cell("unseen", f"{label}, not looked at" if stored else f"{day:%Y-%m-%d}: nothing stored")
    return Cell("whole" if stored else "quiet", f"{label}, nothing missing")


def _spelled(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
