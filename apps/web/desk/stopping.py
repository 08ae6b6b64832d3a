"""The kill switch: always in reach, fired by two deliberate steps; and the way back, by who has the right."""

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.http import require_http_methods

from apps.access.desk import pages
from apps.access.reauthentication import recently
from apps.domain.restrictions import Scope, TradingState
from apps.market.models import Instrument
from apps.strategies.models import Strategy
from apps.trading import selectors
from apps.trading.admin.restrictions import where
from apps.trading.models import Restriction
from apps.trading.services import restrictions
from apps.web.desk import doors

MOST: Final = 300  # targets of a kind that are offered
STATES: Final = (
    (str(TradingState.HALTED), "Halt: nothing is opened, no strategy is followed"),
    (str(TradingState.REDUCING), "Reduce only: nothing is opened, strategies may still leave"),
)


class StopForm(forms.Form):
    """What is stopped, how far, and why. `sure` is the second step: without it nothing is stopped."""

    where = forms.ChoiceField(label="Where")
    state = forms.ChoiceField(choices=STATES, widget=forms.RadioSelect, initial=STATES[0][0], label="How far")
    flatten = forms.BooleanField(required=False, label="Also close every open position there, at the market")
    reason = forms.CharField(max_length=300, label="Why", help_text="One line for the journal.")
    sure = forms.BooleanField(
        label="Yes, stop it", error_messages={"required": "Nothing was stopped: say first that you are sure."}
    )

    def __init__(self, user: selectors.Caller, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["where"].choices = _targets(user)  # type: ignore[attr-defined]  # a choice field


class AllowForm(forms.Form):
    """Why trading is allowed again."""

    reason = forms.CharField(max_length=300, label="Why", help_text="One line for the journal.")


@doors.page
@require_http_methods(["GET", "POST"])
def stop(request: HttpRequest) -> HttpResponse:
    """Ask what is to be stopped and stop it. Nobody has to prove anew who they are: stopping is never too early."""
    doors.require(request, doors.STOP)
    initial = {"where": request.GET.get("where", "site:0"), "state": STATES[0][0]}
    form = StopForm(request.user, request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        done = pages.attempt(form, lambda given: _stop(request, given))
        if done is not None:
            messages.success(request, done.message)
            return HttpResponseRedirect(done.url)
    return doors.ask(request, "stop", {"title": "Stop trading", "form": form})


@doors.page
@recently
@require_http_methods(["GET", "POST"])
def allow(request: HttpRequest, restriction_id: int) -> HttpResponse:
    """Ask why, then allow trading again."""
    doors.require(request, doors.ALLOW)
    row = Restriction.objects.filter(pk=restriction_id).first()
    if row is None or not _is_in_reach(request, row):
        raise Http404
    form = AllowForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        done = pages.attempt(form, lambda given: _allow(request, row, given["reason"]))
        if done is not None:
            messages.success(request, done.message)
            return HttpResponseRedirect(done.url)
    context = {"title": "Allow trading again", "row": row, "where": where(row), "form": form}
    return doors.show(request, "allow", {"within": "desk/page.html", "back": doors.back(request), **context})


def _stop(request: HttpRequest, given: dict[str, Any]) -> pages.Done:
    scope, _, target = given["where"].partition(":")
    wanted = restrictions.Order(
        state=TradingState(given["state"]),
        scope=Scope(scope),
        target=int(target),
        reason=given["reason"],
        actor=pages.actor(request),
        source="desk",
        flatten=given["flatten"],
    )
    asked = restrictions.order(wanted, now=pages.now())
    closing = f" {asked} positions are being closed." if wanted.flatten else ""
    return pages.Done(f"Trading is {wanted.state}.{closing}", doors.back(request, "desk:overview"))


def _allow(request: HttpRequest, row: Restriction, reason: str) -> pages.Done:
    wanted = restrictions.Order(
        state=TradingState.ACTIVE,
        scope=Scope(row.scope),
        target=row.target,
        reason=reason,
        actor=pages.actor(request),
        source="desk",
    )
    restrictions.order(wanted, now=pages.now())
    return pages.Done("Trading is allowed again.", doors.back(request, "desk:overview"))


def _targets(user: selectors.Caller) -> list[tuple[str, str]]:
    accounts = selectors.for_user(user).order_by("id")[:MOST]
    strategies = Strategy.objects.order_by("name")[:MOST]
    instruments = Instrument.objects.order_by("symbol")[:MOST]
    return [
        ("site:0", "The whole site"),
        *((f"account:{row.pk}", f"Account {row}") for row in accounts),
        *((f"strategy:{row.pk}", f"Strategy {row}") for row in strategies),
        *((f"instrument:{row.pk}", f"Instrument {row}") for row in instruments),
    ]


def _is_in_reach(request: HttpRequest, row: Restriction) -> bool:
    return row.scope != Scope.ACCOUNT or selectors.for_user(request.user).filter(pk=row.target).exists()
