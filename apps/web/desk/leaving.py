"""Closing a position by hand: one question, then an exit at the market."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.http import require_http_methods

from apps.access.desk import pages
from apps.domain.legs import ExitReason
from apps.domain.states import PositionStatus
from apps.trading.services import exits
from apps.trading.services.exits import AlreadyLeaving
from apps.web.desk import doors, ways_out

MAX_NOTE = 300


@doors.page
@require_http_methods(["GET", "POST"])
def close(request: HttpRequest, position_id: int) -> HttpResponse:
    """Ask whether a position is to be left, and leave it."""
    doors.require(request, doors.ACT)
    position = doors.own_position(request, position_id)
    if request.method == "POST":
        messages.success(request, _leave(request, position_id))
        return HttpResponseRedirect(doors.back(request))
    rows = ways_out.held(ways_out.open_ones(request.user).filter(pk=position_id), pages.now())
    context = {
        "title": f"Close position {position}",
        "position": position,
        "row": rows[0] if rows else None,
        "closed": position.status == PositionStatus.CLOSED,
    }
    return doors.ask(request, "close", context)


def _leave(request: HttpRequest, position_id: int) -> str:
    try:
        exit_ = exits.request_exit(
            position_id=position_id,
            reason=ExitReason.MANUAL,
            source="desk",
            now=pages.now(),
            actor=pages.actor(request),
            note=request.POST.get("note", "").strip()[:MAX_NOTE],
        )
    except AlreadyLeaving as error:
        return f"Position #{position_id} was being left already (exit {error.exit_id})."
    return f"Position #{position_id} is being closed at the market (exit {exit_.pk})."
