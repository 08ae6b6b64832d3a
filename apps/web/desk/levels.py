"""Amending the levels of a position: typed into a form, or dragged on the chart and confirmed there."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.http import require_http_methods

from apps.access.desk import pages
from apps.access.desk.fields import NumberField
from apps.domain import numbers
from apps.domain.legs import LegKind
from apps.domain.states import LegStatus, PositionStatus
from apps.trading.admin.forms import AmendForm, legs_of
from apps.trading.models import Position
from apps.trading.services import positions
from apps.web.desk import doors

DRAGGED = (LegKind.STOP_LOSS, LegKind.TAKE_PROFIT)


@doors.page
@require_http_methods(["GET", "POST"])
def amend(request: HttpRequest, position_id: int) -> HttpResponse:
    """Show the levels in a form, filled with what a drag proposed; act on those that were changed."""
    doors.require(request, doors.ACT)
    position = doors.own_position(request, position_id)
    live = list(position.legs.filter(status=LegStatus.LIVE).order_by("id"))
    form = AmendForm(request.POST if request.method == "POST" else None, live)
    if request.method == "POST" and form.is_valid():
        done = pages.attempt(form, lambda given: _amend(request, position, form, given))
        if done is not None:
            messages.success(request, done.message)
            return HttpResponseRedirect(done.url)
    proposed = [] if form.is_bound else _propose(form, request)
    context = {
        "title": f"Levels of {position}",
        "position": position,
        "closed": position.status == PositionStatus.CLOSED,
        "form": form,
        "proposed": proposed,
    }
    return doors.ask(request, "levels", context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A level as it is, and as a drag would have it."""

    label: str
    before: Any
    after: Decimal


def _propose(form: AmendForm, request: HttpRequest) -> list[Proposal]:
    """Put the levels that the address names into the fields; what is no number is left out."""
    found = []
    for kind in DRAGGED:
        try:
            value = NumberField(required=False, positive=True).clean(request.GET.get(kind, ""))
        except ValidationError:
            continue
        if value is not None:
            before = form.initial.get(kind)
            shown = numbers.plain(before) if isinstance(before, Decimal) else before
            found.append(Proposal(label=kind.replace("_", " "), before=shown, after=value))
            form.initial[kind] = value
    return found


def _amend(request: HttpRequest, position: Position, form: forms.Form, given: dict[str, Any]) -> pages.Done:
    names = [name for name in form.changed_data if name in form.fields]
    if not names:
        return pages.Done(f"Nothing was changed about {position}.", doors.back(request))
    now = pages.now()
    legs = legs_of(given, names, position.entry_price, now)
    positions.amend_levels(position_id=position.pk, legs=legs, now=now, actor=pages.actor(request))
    words = ", ".join(name.replace("_", " ") for name in names)
    return pages.Done(f"Amended of {position}: {words}.", doors.back(request))
