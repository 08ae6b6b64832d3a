"""The first page: what one is worth, what is at risk, and whether everything works."""

from datetime import datetime
from typing import Any, Final

from django.http import HttpRequest, HttpResponse

from apps.access.desk import pages
from apps.trading import selectors
from apps.web.desk import doors, glance, health

RECENT: Final = 8


@doors.page
def show(request: HttpRequest) -> HttpResponse:
    """Show everything at a glance."""
    now = pages.now()
    accounts = list(selectors.for_user(request.user).order_by("id"))
    return doors.show(request, "overview", {"title": "Overview", **_figures(request, accounts, now)})


def _figures(request: HttpRequest, accounts: list[Any], now: datetime) -> dict[str, Any]:
    keys = [account.pk for account in accounts]
    counted = glance.counts(keys, now)
    measured = glance.history(keys, now)
    worths = glance.worths(accounts, measured, counted.exposure, now)
    return {
        "accounts": accounts,
        "counts": counted,
        "worths": worths,
        "curves": [(worth.currency, glance.curve(measured, accounts, worth.currency)) for worth in worths],
        "health": health.look(now, counted.waiting, counted.oldest),
        "recent": selectors.exits(request.user).filter(status="done").order_by("-closed_at")[:RECENT],
    }
