"""The switch that stops trading: who may, where, why; and the list of what is stopped."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldBooleanWidget

from apps.access.desk import cells, pages
from apps.access.desk.fields import LineField
from apps.access.desk.rows import ReadOnlyPage
from apps.domain.restrictions import Scope, TradingState
from apps.market.models import Instrument
from apps.strategies.models import Strategy
from apps.trading.models import Account, Restriction
from apps.trading.services import restrictions

LIST = "admin:trading_restriction_changelist"
_MODELS: dict[Scope, type[Model]] = {Scope.ACCOUNT: Account, Scope.STRATEGY: Strategy, Scope.INSTRUMENT: Instrument}
_NOTE = (
    "From the moment this is saved no position is opened there. Stops, targets and people still leave positions: "
    "what protects goes on."
)


class StopForm(forms.Form):
    """What is to be stopped, how far, and why."""

    where = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    state = forms.ChoiceField(
        choices=[
            (str(TradingState.HALTED), "halted: nothing is opened, no strategy is followed"),
            (str(TradingState.REDUCING), "reducing: nothing is opened, strategies may still leave"),
        ],
        widget=UnfoldAdminSelectWidget,
    )
    flatten = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanWidget,
        label="Also close every position there",
        help_text="At the market's next price, within milliseconds. This cannot be undone.",
    )
    reason = LineField(max_length=300, help_text="One line for the journal.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["where"].choices = [("site:0", "the whole site"), *_targets()]  # type: ignore[attr-defined]  # a choice field


class AllowForm(forms.Form):
    """Why trading is allowed again."""

    reason = LineField(max_length=300, help_text="One line for the journal.")


@cells.computed("where", "scope")
def where(row: Restriction) -> str:
    """Name what is restricted."""
    return "the whole site" if row.scope == Scope.SITE else f"{row.scope} {_name(row)}"


@cells.computed("state", "state")
def state(row: Restriction) -> str:
    """Show the state as a word in its colour."""
    return cells.tag(row.state, "bad" if row.state == TradingState.HALTED else "warn")


@cells.computed("")
def allow(row: Restriction) -> str:
    """Link to the page that allows trading again."""
    return format_html('<a href="{}">Allow again</a>', reverse("admin:trading_restriction_allow", args=[row.pk]))


@admin.register(Restriction)
class RestrictionAdmin(ReadOnlyPage):
    """Where trading is stopped at present; empty when it is allowed everywhere."""

    list_display = (where, state, "reason", "actor", cells.instant("since"), allow)
    list_display_links = None

    def get_urls(self) -> list[URLPattern]:
        """Add the page that allows again."""
        view = self.admin_site.admin_view(self.allow_view)
        return [path("<int:pk>/allow/", view, name="trading_restriction_allow"), *super().get_urls()]

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Stopping counts as adding a restriction."""
        return request.user.has_perm("trading.restrict")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Ask what is to be stopped, and stop it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = StopForm(request.POST or None, initial={"where": request.GET.get("where", "site:0")})
        question = pages.Question("Stop trading", _NOTE, "Stop trading", reverse(LIST), dangerous=True)

        def act(given: dict[str, Any]) -> pages.Done:
            scope, _, target = given["where"].partition(":")
            wanted = self._order(request, TradingState(given["state"]), Scope(scope), int(target), given)
            asked = restrictions.order(wanted, now=pages.now())
            closing = f" {asked} positions are being closed." if wanted.flatten else ""
            return pages.Done(f"Trading is {wanted.state}.{closing}", reverse(LIST))

        return pages.ask(self, request, form, question, act)

    def allow_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask why, then allow trading again."""
        if not request.user.has_perm("trading.rearm"):
            raise PermissionDenied
        row = Restriction.objects.filter(pk=pk).first()
        if row is None:
            raise Http404
        note = f"It was stopped by {row.actor} at {row.since:%Y-%m-%d %H:%M:%S} UTC: {row.reason}"
        question = pages.Question(f"Allow trading again: {where(row)}", note, "Allow trading", reverse(LIST))

        def act(given: dict[str, Any]) -> pages.Done:
            wanted = self._order(request, TradingState.ACTIVE, Scope(row.scope), row.target, given)
            restrictions.order(wanted, now=pages.now())
            return pages.Done(f"Trading is allowed again: {where(row)}.", reverse(LIST))

        return pages.ask(self, request, AllowForm(request.POST or None), question, act)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Restriction]:
        """Show all: whose trading is stopped should know it."""
        rows: QuerySet[Restriction] = super().get_queryset(request)
        return rows

    def _order(
        self, request: HttpRequest, wanted: TradingState, scope: Scope, target: int, given: dict[str, Any]
    ) -> restrictions.Order:
        return restrictions.Order(
            state=wanted,
            scope=scope,
            target=target,
            reason=given["reason"],
            actor=pages.actor(request),
            source="admin",
            flatten=given.get("flatten", False),
        )


def _targets() -> list[tuple[str, str]]:
    return [
        (f"{scope}:{row.pk}", f"{scope} {row}")
        for scope, model in _MODELS.items()
        for row in model._default_manager.order_by("pk")[:500]
    ]


def _name(row: Restriction) -> str:
    found = _MODELS[Scope(row.scope)]._default_manager.filter(pk=row.target).first()
    return str(found or f"#{row.target}")
