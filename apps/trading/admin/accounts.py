"""Accounts: opened and paid into through the service; balances are derived from the books each time."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget

from apps.access.desk import cells, pages
from apps.access.desk.fields import LineField, NumberField
from apps.access.desk.past import REASON, AsksWhy
from apps.access.models import User
from apps.domain import numbers
from apps.journal import services as journal
from apps.trading import selectors
from apps.trading.admin import routes
from apps.trading.admin.rows import Own
from apps.trading.models import Account
from apps.trading.services import accounts


class OpenForm(forms.Form):
    """A new paper account."""

    owner = forms.ModelChoiceField(User.objects.filter(is_active=True), widget=UnfoldAdminSelectWidget)
    name = LineField(max_length=80)
    amount = NumberField(positive=True, label="First deposit", help_text="In USD; at most eight decimals.")


class PayInForm(forms.Form):
    """Money for an account."""

    amount = NumberField(positive=True, help_text="In the account's currency; at most eight decimals.")


def balance(name: str, title: str, *, sign: bool = False) -> Callable[[Account], str]:
    """Show one figure of an account's books in its own currency."""

    @cells.computed(title)
    def cell(row: Account) -> str:
        sheet = sheet_of(row)
        value = getattr(sheet, name) if sheet else Decimal(0)
        if value is None:
            return cells.tag("no price", "warn")
        return cells.signed(value) if sign else cells.number("value")(_Valued(value))

    cell.__name__ = name
    return cell


class _Valued:
    def __init__(self, value: Decimal) -> None:
        self.value = value.quantize(Decimal("0.01")) if value.as_tuple().exponent < -2 else value  # type: ignore[operator]  # it is finite, so its exponent is a number


def sheet_of(row: Account) -> selectors.Balance | None:
    """Return an account's balance in its own currency, as read with the page it stands on."""
    sheets: list[selectors.Balance] | None = getattr(row, "sheets", None)
    if sheets is None:
        sheets = row.sheets = selectors.balances([row.pk])[row.pk]  # type: ignore[attr-defined]  # kept on the row
    return next((sheet for sheet in sheets if sheet.currency == row.currency), None)


BALANCES = (
    balance("equity", "equity"),
    balance("cash", "cash"),
    balance("unrealised_pnl", "open P&L", sign=True),
    balance("pnl", "taken P&L", sign=True),
    balance("fees", "fees"),
)


@admin.register(Account)
class AccountAdmin(AsksWhy, Own):
    """Accounts with their balances. Name and costs may be changed; money only comes in through the page for it."""

    account_path = "pk"
    list_display = ("name", routes.money, "owner", "broker", "currency", *BALANCES, cells.instant("opened_at"))
    list_filter = ("live", "broker", "currency")
    search_fields = ("name", "owner__username")
    list_select_related = ("owner", "credential")
    fieldsets = (
        ("Balances", {"fields": (*BALANCES, balance("deposits", "deposits"))}),
        ("Account", {"fields": ("name", "owner", "currency", cells.instant("opened_at"))}),
        ("Orders", {"fields": (routes.money, "broker", cells.linked("credential", "key"), "instant", routes.options)}),
        ("Risk", {"fields": ("risk_profile",)}),
        ("Costs", {"fields": ("fee_rate", "fee_fixed", "slippage_rate", "slippage_fixed")}),
    )
    readonly_fields = (
        *fieldsets[0][1]["fields"],
        *fieldsets[1][1]["fields"][1:],
        *fieldsets[2][1]["fields"],
    )
    actions_detail = ("pay_in", "choose_broker", "real_money")

    def get_readonly_fields(self, request: HttpRequest, obj: Account | None = None) -> Any:
        """Let nobody choose a profile who may not change limits."""
        fixed = () if request.user.has_perm("trading.change_risklimit") else ("risk_profile",)
        return (*self.readonly_fields, *fixed)

    def get_fieldsets(self, request: HttpRequest, obj: Account | None = None) -> Any:
        """Ask why it is changed."""
        return [*super().get_fieldsets(request, obj), *self.why(request, obj)]

    def has_delete_permission(self, request: HttpRequest, obj: Account | None = None) -> bool:
        """Accounts stay: the books name them."""
        return False

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Read the balances of all accounts on the page at once."""
        page = super().get_changelist_instance(request)
        sheets = selectors.balances([row.pk for row in page.result_list])
        for row in page.result_list:
            row.sheets = sheets[row.pk]
        return page

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Open a paper account with a first deposit."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = OpenForm(request.POST or None, initial={"owner": request.user, "amount": "100000"})
        if not selectors.sees_all(request.user):
            form.fields["owner"].queryset = User.objects.filter(username=pages.actor(request))  # type: ignore[attr-defined]  # a model choice
        back = reverse("admin:trading_account_changelist")
        note = "A paper account trades with the default fee and slippage; both can be changed afterwards."
        question = pages.Question("Open an account", note, "Open the account", back)

        def act(given: dict[str, Any]) -> pages.Done:
            account = accounts.open_account(
                owner_id=given["owner"].pk,
                name=given["name"],
                deposit=given["amount"],
                now=pages.now(),
                actor=pages.actor(request),
            )
            return pages.Done(f"Account {account.name} is open.", routes.page_of(account))

        return pages.ask(self, request, form, question, act)

    @action(description="Pay in", icon="payments", url_path="pay-in")  # type: ignore[untyped-decorator]  # Unfold has no types
    def pay_in(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Deposit money."""
        account = self._mine(request, object_id)
        note = f"A deposit in {account.currency}, written to the books and the journal."
        question = pages.Question(f"Pay in to {account.name}", note, "Pay in", routes.page_of(account))

        def act(given: dict[str, Any]) -> pages.Done:
            amount: Decimal = given["amount"]
            accounts.pay_in(account_id=account.pk, amount=amount, now=pages.now(), actor=pages.actor(request))
            message = f"{numbers.plain(amount)} {account.currency} paid in to {account.name}."
            return pages.Done(message, routes.page_of(account))

        return pages.ask(self, request, PayInForm(request.POST or None), question, act)

    @action(description="Broker", icon="route", url_path="broker")  # type: ignore[untyped-decorator]  # Unfold has no types
    def choose_broker(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say where the account's orders go."""
        return routes.choose_broker(self, request, self._mine(request, object_id))

    @action(description="Real money", icon="local_fire_department", url_path="real-money")  # type: ignore[untyped-decorator]  # Unfold has no types
    def real_money(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Go live, or take that back."""
        return routes.live_switch(self, request, self._mine(request, object_id))

    def _mine(self, request: HttpRequest, object_id: str) -> Account:
        account: Account | None = self.get_object(request, object_id)
        if account is None:
            raise Http404
        if not self.has_change_permission(request, account):
            raise PermissionDenied
        return account

    def save_model(self, request: HttpRequest, obj: Account, form: Any, change: bool) -> None:
        """Save name and costs, and write down who changed what."""
        changed = [name for name in form.changed_data if name != REASON]
        obj.save(update_fields=changed)  # nothing else: its switches and broker belong to services
        changes = {name: str(form.cleaned_data[name]) for name in changed}
        journal.record(
            "account.changed",
            f"account:{obj.pk}",
            account_id=obj.pk,
            actor=pages.actor(request),
            payload={"name": obj.name, "changes": changes},
        )
