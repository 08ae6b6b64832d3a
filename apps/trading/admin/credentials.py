"""Broker keys: written on a page, never shown again; checked at the venue, replaced, deleted when nobody uses them."""

from collections.abc import Callable
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from unfold.decorators import action
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget

from apps.access.desk import cells, pages
from apps.access.desk.fields import LineField
from apps.access.desk.rows import ReadOnlyPage
from apps.access.models import User
from apps.domain.errors import Refused
from apps.strategies import parameter_forms
from apps.trading import selectors
from apps.trading.admin import routes
from apps.trading.models import Credential
from apps.trading.services import keying, keys
from apps.trading.services.switches import PAPER

LIST: Final = "admin:trading_credential_changelist"
_SECRET: Final = ("key", "secret", "passphrase")
_ANSWERS: Final = {True: ("yes", "plain"), False: ("no", "plain"), None: ("not known", "idle")}
_NOTE: Final = (
    "Make a key at the venue that may view and trade, and nothing else. The venue is asked at once; a key that may "
    "withdraw is not stored. What you enter is encrypted and never shown again."
)


class SecretField(forms.CharField):
    """Something that is typed or pasted and never filled in."""

    def __init__(self, **kwargs: Any) -> None:
        widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password", "spellcheck": "false"})
        super().__init__(**{"widget": widget, "max_length": 20_000, "strip": False, **kwargs})


class SecretsForm(forms.Form):
    """What the venue gave."""

    key = SecretField(help_text="Its name or number at the venue. The last four characters stay readable here.")
    secret = SecretField(required=False, help_text="The secret or the private key, also a whole PEM text.")
    passphrase = SecretField(required=False, help_text="Only where the venue gave one.")

    @staticmethod
    def secrets(given: dict[str, Any]) -> keys.Secrets:
        """Return what was entered."""
        return keys.Secrets(**{name: given[name] for name in _SECRET})


class StoreForm(SecretsForm):
    """A new credential."""

    owner = forms.ModelChoiceField(User.objects.filter(is_active=True), widget=UnfoldAdminSelectWidget)
    name = LineField(max_length=80, help_text="How you will recognise it.")
    address = LineField(
        max_length=200, required=False, help_text="Only for another server than the usual one, such as a sandbox."
    )

    def __init__(self, broker: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plugin, self.words = routes.described(broker), keying.words(broker)
        if plugin is not None and self.words:
            fields = parameter_forms.fields(plugin)
            self.fields |= {name: fields[parameter_forms.PREFIX + name] for name in self.words}
        self.order_fields(("owner", "name", *self.words, "address", *_SECRET))


class ReplaceForm(SecretsForm):
    """Other secrets for a credential, and its address."""

    address = LineField(max_length=200, required=False, help_text="Empty: the venue's usual one.")
    field_order = ("address", *_SECRET)


def right(path: str, title: str, worst: bool | None = None) -> Callable[[Credential], str]:
    """Show what a key may do; the answer `worst` in red."""

    @cells.computed(title, path)
    def cell(row: Credential) -> str:
        answer = getattr(row, path)
        word, tone = _ANSWERS[answer]
        return cells.tag(word, "bad" if worst is not None and answer is worst else tone)

    cell.__name__ = path
    return cell


@cells.computed("key")
def ending(row: Credential) -> str:
    """Show the end of a key, to recognise it by."""
    return f"\u2026{row.ending}"


@cells.computed("used by")
def used_by(row: Credential) -> str:
    """Name the accounts that use it."""
    return ", ".join(account.name for account in row.accounts.all()) or cells.NOTHING


@admin.register(Credential)
class CredentialAdmin(ReadOnlyPage):
    """Each person sees their own, a superuser all; nobody sees a secret."""

    list_display = (
        "name",
        cells.text("owner"),
        "broker",
        ending,
        right("may_trade", "may trade", worst=False),
        right("may_withdraw", "may withdraw", worst=True),
        cells.instant("checked_at", "last check"),
        used_by,
    )
    shown = (
        *list_display,
        cells.text("address"),
        cells.facts("options"),
        cells.instant("created_at"),
        cells.instant("changed_at"),
    )
    list_filter = ("broker",)
    search_fields = ("name", "owner__username")
    list_select_related = ("owner",)
    actions_detail = ("check_now", "replace_secrets", "delete_it")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Credential]:
        """Show a person their own credentials, a superuser all; what is sealed is not even read."""
        rows: QuerySet[Credential] = super().get_queryset(request).defer("sealed").prefetch_related("accounts")
        return rows if selectors.sees_all(request.user) else rows.filter(owner_id=request.user.pk)

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """A superuser stores keys for anybody, others for themselves if they may."""
        return request.user.has_perm("trading.add_credential")

    @method_decorator(sensitive_post_parameters(*_SECRET))
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Take a new key, ask the venue about it, and store it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        broker = request.GET.get("broker", "")
        if broker not in keys.broker_names() or broker == PAPER:
            return self._ask_for_broker(request)
        try:
            form = StoreForm(broker, request.POST or None, initial={"owner": request.user, **keying.words(broker)})
        except Refused as refused:
            messages.error(request, str(refused))
            return HttpResponseRedirect(reverse(LIST))
        if not selectors.sees_all(request.user):
            form.fields["owner"].queryset = User.objects.filter(username=pages.actor(request))  # type: ignore[attr-defined]  # a model choice
        question = pages.Question(f"Store a key of {broker}", _NOTE, "Store the key", reverse(LIST))

        def act(given: dict[str, Any]) -> pages.Done:
            wanted = keys.NewCredential(
                owner_id=given["owner"].pk,
                name=given["name"],
                broker=broker,
                address=given["address"].strip(),
                options={name: given[name] for name in form.words},
                secrets=form.secrets(given),
            )
            checked = keys.store(wanted, now=pages.now(), actor=pages.actor(request))
            return pages.Done(_told(f"{wanted.name} is stored.", checked), _page(checked.credential))

        return pages.ask(self, request, form, question, act)

    def _ask_for_broker(self, request: HttpRequest) -> HttpResponse:
        form = routes.BrokerForm(request.POST or None, leave_out=PAPER)
        question = pages.Question("Store a broker key", "The next page asks for the key.", "Go on", reverse(LIST))
        if request.method == "POST" and form.is_valid():
            return HttpResponseRedirect(f"{request.path}?broker={form.cleaned_data['broker']}")
        return pages.show(self, request, form, question)

    @action(description="Check", icon="fact_check", url_path="check")  # type: ignore[untyped-decorator]  # Unfold has no types
    def check_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask the venue what the key may do."""
        row = self._mine(request, object_id, "trading.change_credential")
        note = f"Asks {row.broker} what the key ending in {row.ending} may do, and keeps the answer."
        question = pages.Question(f"Check {row.name}", note, "Ask the venue", _page(row))

        def act(given: dict[str, Any]) -> pages.Done:
            checked = keys.check(row, now=pages.now(), actor=pages.actor(request))
            return pages.Done(_told(f"{row.name} opens.", checked), _page(row))

        return pages.ask(self, request, _yes(request), question, act)

    @action(description="Replace", icon="key", url_path="replace")  # type: ignore[untyped-decorator]  # Unfold has no types
    @method_decorator(sensitive_post_parameters(*_SECRET))
    def replace_secrets(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Put another key in its place; the accounts that use it go on with the new one."""
        row = self._mine(request, object_id, "trading.change_credential")
        form = ReplaceForm(request.POST or None, initial={"address": row.address})
        question = pages.Question(f"Replace {row.name}", _NOTE, "Replace the key", _page(row), dangerous=True)

        def act(given: dict[str, Any]) -> pages.Done:
            address = given["address"].strip()
            checked = keys.replace(
                row, form.secrets(given), now=pages.now(), address=address, actor=pages.actor(request)
            )
            return pages.Done(_told(f"{row.name} is replaced.", checked), _page(row))

        return pages.ask(self, request, form, question, act)

    @action(description="Delete", icon="delete", url_path="remove")  # type: ignore[untyped-decorator]  # Unfold has no types
    def delete_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Delete a key that no account uses."""
        row = self._mine(request, object_id, "trading.delete_credential")
        note = "It is gone at once, here. At the venue it stays valid until you delete it there."
        question = pages.Question(f"Delete {row.name}", note, "Delete the key", _page(row), dangerous=True)

        def act(given: dict[str, Any]) -> pages.Done:
            keys.remove(row, actor=pages.actor(request))
            return pages.Done(f"{row.name} is deleted. Delete it at the venue as well.", reverse(LIST))

        return pages.ask(self, request, _yes(request), question, act)

    def _mine(self, request: HttpRequest, object_id: str, permission: str) -> Credential:
        row: Credential | None = self.get_object(request, object_id)
        if row is None:
            raise Http404
        if not request.user.has_perm(permission):
            raise PermissionDenied
        return row


def _yes(request: HttpRequest) -> forms.Form:
    """Return a form without fields: to send it is to say yes."""
    return forms.Form(request.POST if request.method == "POST" else None)


def _told(done: str, checked: keys.Checked) -> str:
    return f"{done} {checked.trouble or 'The venue took it; it may not withdraw.'}"


def _page(row: Credential) -> str:
    return reverse("admin:trading_credential_change", args=[row.pk])
