"""The pages that say where an account's orders go, and that let it move real money."""

from typing import Any, Final, cast

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.widgets import UnfoldAdminSelectWidget

from apps.access.desk import cells, pages
from apps.access.desk.fields import LineField
from apps.domain.errors import Refused
from apps.domain.strategies import contract
from apps.strategies import parameter_forms
from apps.trading.models import Account, Credential
from apps.trading.services import connecting, keying, keys, switches
from apps.trading.services.connecting import Route

GO_LIVE: Final = "trading.go_live"
_LIVE_NOTE: Final = (
    "From then on its orders move real money, as soon as the site's own switch (LIVE_TRADING) is on as well. Without "
    "that one nothing at all is sent to the venue, exits neither. The venue is asked now what the key may do."
)


class BrokerForm(forms.Form):
    """Which broker; what it lets one choose is asked on the next page."""

    broker = forms.ChoiceField(widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, leave_out: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [name for name in keys.broker_names() if name != leave_out]
        self.fields["broker"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]  # a choice field


class LiveForm(forms.Form):
    """The account's name, typed by hand: nobody goes live with a slip of the mouse."""

    typed_name = LineField(max_length=80, label="The account's name", help_text="Type it to confirm.", strip=False)


@cells.computed("money")
def money(row: Account) -> str:
    """Say loudly whether real money moves."""
    if row.live:
        return cells.tag("REAL MONEY", "bad")
    if not switches.is_real(row):
        return cells.tag("paper" if row.broker == switches.PAPER else "sandbox", "idle")
    return cells.tag("real venue, switched off", "warn")


@cells.computed("options")
def options(row: Account) -> str:
    """Show the options that differ from the broker's own."""
    lines = format_html_join("", "<tr><td>{}</td><td>{}</td></tr>", sorted(row.broker_options.items()))
    return format_html('<div class="desk"><table class="grid">{}</table></div>', lines or "As the broker has them.")


def choose_broker(page: "ModelAdmin[Account]", request: HttpRequest, account: Account) -> HttpResponse:
    """Ask for the broker, then for the key and what the broker lets one choose."""
    asked = request.GET.get("broker", "")
    if asked in keys.broker_names():
        try:
            return _choose_route(page, request, account, asked)
        except Refused as refused:  # it lacks what it needs, such as a library
            messages.error(request, str(refused))
            return HttpResponseRedirect(page_of(account))
    form = BrokerForm(request.POST or None, initial={"broker": account.broker})
    note = "The next page asks for its key and its options. Open positions and working orders hold an account in place."
    question = pages.Question(f"Where orders of {account.name} go", note, "Go on", page_of(account))
    if request.method == "POST" and form.is_valid():
        return HttpResponseRedirect(f"{request.path}?broker={form.cleaned_data['broker']}")
    return pages.show(page, request, form, question)


def _choose_route(page: "ModelAdmin[Account]", request: HttpRequest, account: Account, broker: str) -> HttpResponse:
    plugin = described(broker)
    form = _route_form(account, broker, plugin)(
        request.POST if request.method == "POST" else None, initial=_initial(account, broker, plugin)
    )
    question = pages.Question(f"{account.name} at {broker}", "Written to the journal.", "Save", page_of(account))

    def act(given: dict[str, Any]) -> pages.Done:
        credential = given.get("credential")
        route = Route(
            broker=broker,
            credential_id=credential.pk if credential else None,
            options=parameter_forms.values(plugin, given) if plugin else {},
        )
        changed = _connected(account, route, pages.actor(request))
        way = "its market orders fill at once" if changed.instant else "its orders go through the book of orders"
        return pages.Done(f"{changed.name} trades at {changed.broker}; {way}.", page_of(changed))

    return pages.ask(page, request, form, question, act)


def _connected(account: Account, route: Route, actor: str) -> Account:
    try:
        return connecting.connect(account.pk, route, actor=actor)
    except Refused as refused:
        named = parameter_forms.PREFIX
        raise Refused(*(_beside(problem, named, route) for problem in refused.problems)) from None


def _beside(problem: Any, prefix: str, route: Route) -> Any:
    """Let a problem with an option stand beside the option's own field."""
    if problem.field not in route.options:
        return problem
    return type(problem)(field=prefix + problem.field, value=problem.value, rule=problem.rule, remedy=problem.remedy)


def live_switch(page: "ModelAdmin[Account]", request: HttpRequest, account: Account) -> HttpResponse:
    """Ask before an account goes live, or before its switch is taken back."""
    return _leave_live(page, request, account) if account.live else _go_live(page, request, account)


def _go_live(page: "ModelAdmin[Account]", request: HttpRequest, account: Account) -> HttpResponse:
    if not request.user.has_perm(GO_LIVE):
        raise PermissionDenied
    title = f"Let {account.name} trade real money"
    question = pages.Question(title, _LIVE_NOTE, "Trade real money", page_of(account), dangerous=True)

    def act(given: dict[str, Any]) -> pages.Done:
        connecting.go_live(account.pk, typed_name=given["typed_name"], now=pages.now(), actor=pages.actor(request))
        return pages.Done(f"{account.name} may trade real money now.", page_of(account))

    return pages.ask(page, request, LiveForm(request.POST or None), question, act)


def _leave_live(page: "ModelAdmin[Account]", request: HttpRequest, account: Account) -> HttpResponse:
    held = connecting.open_positions(account)
    note = (
        "Nothing is entered with real money any more, and entry orders that work are taken back. Exits, stops at the "
        "venue and what takes orders back go on."
    )
    if held:
        note += f" Its {held} open positions are real and are still left by their stops and targets."
    question = pages.Question(f"Stop real trading of {account.name}", note, "Switch off", page_of(account))

    def act(given: dict[str, Any]) -> pages.Done:
        connecting.leave_live(account.pk, now=pages.now(), actor=pages.actor(request))
        return pages.Done(f"{account.name} enters nothing with real money any more.", page_of(account))

    return pages.ask(page, request, forms.Form(request.POST if request.method == "POST" else None), question, act)


def _route_form(account: Account, broker: str, plugin: type[contract.Strategy] | None) -> type[forms.Form]:
    fields: dict[str, Any] = {}
    if broker != switches.PAPER:
        fields["credential"] = forms.ModelChoiceField(
            Credential.objects.filter(owner_id=account.owner_id, broker=broker).defer("sealed"),
            required=False,
            widget=UnfoldAdminSelectWidget,
            help_text="Keys of the account's owner for this broker.",
        )
    if plugin is not None:
        of_the_key = {parameter_forms.PREFIX + name for name in keying.words(broker)}
        fields |= {name: field for name, field in parameter_forms.fields(plugin).items() if name not in of_the_key}
    return type("RouteForm", (forms.Form,), fields)


def _initial(account: Account, broker: str, plugin: type[contract.Strategy] | None) -> dict[str, Any]:
    stored = account.broker_options if account.broker == broker else {}
    chosen = {"credential": account.credential_id}
    return chosen if plugin is None else {**chosen, **parameter_forms.initial(plugin, stored)}


def described(broker: str) -> type[contract.Strategy] | None:
    """Return what a broker lets one choose, in the shape in which forms are made of a plug-in's parameters."""
    declared = keying.declared(broker)
    if declared is None:
        return None
    return cast("type[contract.Strategy]", type("Described", (), {"name": broker, "Parameters": declared}))


def page_of(account: Account) -> str:
    """Return the address of an account's page."""
    return reverse("admin:trading_account_change", args=[account.pk])
