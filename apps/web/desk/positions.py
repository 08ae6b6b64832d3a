"""Open positions as they stand, and those that were closed last."""

from collections import defaultdict
from decimal import Decimal
from typing import Final

from django.http import HttpRequest, HttpResponse

from apps.access.desk import pages
from apps.domain.states import PositionStatus
from apps.trading import selectors
from apps.web.desk import doors, ways_out
from apps.web.desk.ways_out import Held

RECENT: Final = 10


@doors.page
def show(request: HttpRequest) -> HttpResponse:
    """Show the person's positions."""
    rows = ways_out.held(ways_out.open_ones(request.user), pages.now())
    # That they have an instant says nothing new, but lets the index of instants skip all that are open.
    closed = selectors.positions(request.user).filter(status=PositionStatus.CLOSED, closed_at__isnull=False)
    context = {
        "title": "Positions",
        "rows": rows,
        "most": ways_out.MOST,
        "gains": _gains(rows),
        "closed": list(closed.select_related("account").order_by("-closed_at")[:RECENT]),
    }
    return doors.show(request, "positions", context)


def _gains(rows: list[Held]) -> list[tuple[str, Decimal, int]]:
    """Return per currency what leaving everything now would bring, and how many rows have no price."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    unknown: dict[str, int] = defaultdict(int)
    for row in rows:
        currency = row.position.instrument.quote_currency
        sums[currency] += row.gain or 0
        unknown[currency] += row.gain is None
    return [(currency, total, unknown[currency]) for currency, total in sums.items()]
