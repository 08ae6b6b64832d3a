"""Backtests: the newest runs with their figures, on to their reports and to several side by side."""

from typing import Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from apps.access.desk.cells import NOTHING
from apps.backtests import selectors
from apps.backtests.admin import telling
from apps.backtests.models import Run
from apps.web.desk import doors

MOST: Final = 50
FIGURES: Final = {
    "return_pct": "Return",
    "max_drawdown_pct": "Drawdown",
    "sharpe": "Sharpe",
    "closed_trades": "Trades",
}
TONES: Final = {"queued": "idle", "running": "busy", "done": "good", "failed": "bad", "cancelled": "idle"}
FEWEST, FULLEST = 2, 4  # runs side by side


@doors.page
def show(request: HttpRequest) -> HttpResponse:
    """List the newest runs; those a search made are found in the admin."""
    doors.require(request, "backtests.view_run")
    rows = selectors.runs().filter(kind__in=(Run.Kind.SINGLE, Run.Kind.WALK_FORWARD)).select_related("strategy")
    found = [
        (run, [telling.told(run, key) if run.state == Run.State.DONE else NOTHING for key in FIGURES], TONES[run.state])
        for run in rows.order_by("-id")[:MOST]
    ]
    context = {
        "title": "Backtests",
        "rows": found,
        "heads": list(FIGURES.values()),
        "is_staff": bool(getattr(request.user, "is_staff", False)),  # reports stand in the admin
        "may_run": request.user.has_perm("backtests.add_run"),
        "most": MOST,
    }
    return doors.show(request, "backtests", context)


@doors.page
def compare(request: HttpRequest) -> HttpResponse:
    """Lead to the comparison of the chosen runs."""
    doors.require(request, "backtests.view_run")
    chosen = [text for text in request.GET.getlist("run") if text.isascii() and text.isdigit() and len(text) < 18]
    if not FEWEST <= len(chosen) <= FULLEST:
        messages.warning(request, f"Choose {FEWEST} to {FULLEST} finished runs; these are {len(chosen)}.")
        return HttpResponseRedirect(reverse("desk:backtests"))
    return HttpResponseRedirect(f"{reverse('admin:backtests_run_compare')}?runs={','.join(chosen)}")
