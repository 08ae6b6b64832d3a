"""Exits: how positions were left, and how long that took from the price that triggered it to the commit."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from django.db.models import F
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse

from apps.access.desk import pages
from apps.domain.legs import ExitReason
from apps.domain.states import ExitStatus
from apps.trading import selectors
from apps.trading.statistics import latency
from apps.trading.statistics.selection import Selection
from apps.web.desk import doors, drawing
from apps.web.desk.drawing import Bar

MOST: Final = 50
SAMPLE: Final = 10_000
SPANS: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
EDGES: Final = (5, 10, 20, 50, 100, 200, 500, 1000, 5000)  # milliseconds


@doors.page
def show(request: HttpRequest) -> HttpResponse:
    """Show the person's newest exits, and the histogram of their latencies over a span."""
    now = pages.now()
    span = request.GET.get("span", "")
    span = span if span in SPANS else "day"
    since = now - SPANS[span]
    own = selectors.exits(request.user)
    accounts = list(selectors.for_user(request.user).values_list("id", flat=True))
    taken = own.filter(status=ExitStatus.DONE, closed_at__gte=since).exclude(reason=ExitReason.TIME_STOP)
    spans = taken.annotate(until=Coalesce("drain__committed_at", "closed_at")).order_by("-closed_at")
    found = [each.total_seconds() * 1000 for (each,) in spans.values_list(F("until") - F("tick_at"))[:SAMPLE]]
    context = {
        "title": "Exits",
        "span": span,
        "spans": list(SPANS),
        "bars": histogram(found),
        "sample": len(found),
        "percentiles": latency.of(Selection(accounts=accounts, since=since)),
        "rows": list(own.select_related("position__account").order_by("-id")[:MOST]),
        "most": MOST,
    }
    return doors.show(request, "exits", context)


def histogram(milliseconds: Sequence[float]) -> list[Bar]:
    """Count latencies between the edges; what is exactly at an edge counts below it."""
    counts = [0] * (len(EDGES) + 1)
    for value in milliseconds:
        counts[bisect_left(EDGES, value)] += 1
    return drawing.bars([*(f"to {_worded(edge)}" for edge in EDGES), f"over {_worded(EDGES[-1])}"], counts)


def _worded(edge: int) -> str:
    return f"{edge} ms" if edge < 1000 else f"{edge // 1000} s"
