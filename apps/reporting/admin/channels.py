"""Channels: stored on a page that never shows a secret again; tried, replaced, switched; chats bound to people."""

from typing import Any, Final

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from unfold.decorators import action
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget

from apps.access.desk import cells, pages
from apps.access.desk.fields import LineField
from apps.access.desk.rows import ReadOnlyPage
from apps.access.models import User
from apps.reporting import selectors
from apps.reporting.channels import CHANNELS
from apps.reporting.channels.base import Setting
from apps.reporting.control import binding
from apps.reporting.models import Channel, Chat
from apps.reporting.services import keeping
from apps.reporting.services.keeping import NewChannel

LIST: Final = "admin:reporting_channel_changelist"
_NOTE: Final = "What is secret here is encrypted and never shown again. Try the channel after storing it."


class KindForm(forms.Form):
    """Which channel; what it has to be told is asked on the next page."""

    kind = forms.ChoiceField(widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].choices = [(name, name) for name in CHANNELS.names()]  # type: ignore[attr-defined]  # a choice field


class SettingsForm(forms.Form):
    """What a channel has to be told, one field per setting."""

    def __init__(self, kind: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.names = [each.name for each in CHANNELS.get(kind).settings]
        self.fields |= {each.name: _field(each) for each in CHANNELS.get(kind).settings}

    def given(self, cleaned: dict[str, Any]) -> dict[str, str]:
        """Return what was entered."""
        return {name: str(cleaned.get(name) or "").strip() for name in self.names}


class StoreForm(SettingsForm):
    """A new channel."""

    name = LineField(max_length=80, help_text="How you will recognise it.")
    per_minute = forms.IntegerField(
        min_value=1, max_value=1000, initial=20, help_text="Messages a minute at most.",
        widget=UnfoldAdminIntegerFieldWidget,
    )  # fmt: skip


class PersonForm(forms.Form):
    """Whose chat is to be bound."""

    person = forms.ModelChoiceField(
        User.objects.filter(is_active=True), widget=UnfoldAdminSelectWidget, help_text="The chat gives orders as them."
    )


def _field(setting: Setting) -> forms.Field:
    shared: dict[str, Any] = {"required": setting.required and not setting.default, "help_text": setting.help}
    if setting.choices:
        choices = [(word, word) for word in setting.choices]
        return forms.ChoiceField(choices=choices, initial=setting.default, widget=UnfoldAdminSelectWidget, **shared)
    if setting.secret:
        widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password", "spellcheck": "false"})
        return forms.CharField(widget=widget, strip=False, max_length=setting.longest, **shared)
    return LineField(max_length=setting.longest, initial=setting.default, **shared)


@cells.computed("state")
def state(row: Channel) -> str:
    """Say whether it sends."""
    if not row.enabled:
        return cells.tag("off", "idle")
    return cells.tag("failing", "bad") if row.failures else cells.tag("on", "good")


@admin.register(Channel)
class ChannelAdmin(ReadOnlyPage):
    """Each person sees their own, a superuser all; nobody sees a secret."""

    list_display = ("name", "kind", cells.text("owner"), state, "per_minute", cells.text("last_error"))
    shown = (
        *list_display,
        cells.facts("options"),
        "failures",
        cells.instant("paused_until"),
        cells.instant("created_at"),
    )
    list_filter = ("kind", "enabled")
    search_fields = ("name",)
    list_select_related = ("owner",)
    actions_detail = ("try_it", "replace_it", "switch_it", "bind_chat", "delete_it")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Channel]:
        """Show a person their own channels; what is sealed is not even read."""
        rows: QuerySet[Channel] = super().get_queryset(request).defer("sealed")
        return selectors.own(rows, request.user, owner_id=request.user.pk)

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Whoever may, adds their own."""
        return request.user.has_perm("reporting.add_channel")

    @method_decorator(sensitive_post_parameters())
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Ask for the kind, then for what it has to be told, and store it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        kind = request.GET.get("kind", "")
        if kind not in CHANNELS.names():
            return self._ask_for_kind(request)
        form = StoreForm(kind, request.POST or None)
        question = pages.Question(f"Add a channel: {kind}", _NOTE, "Store the channel", reverse(LIST))

        def act(cleaned: dict[str, Any]) -> pages.Done:
            wanted = NewChannel(
                name=cleaned["name"],
                kind=kind,
                owner_id=request.user.pk or 0,
                given=form.given(cleaned),
                per_minute=cleaned["per_minute"],
            )
            row = keeping.store(wanted, actor=pages.actor(request))
            return pages.Done(f"{row.name} is stored.", _page(row))

        return pages.ask(self, request, form, question, act)

    def _ask_for_kind(self, request: HttpRequest) -> HttpResponse:
        form = KindForm(request.POST or None)
        question = pages.Question("Add a channel", "The next page asks what it has to be told.", "Go on", reverse(LIST))
        if request.method == "POST" and form.is_valid():
            return HttpResponseRedirect(f"{request.path}?kind={form.cleaned_data['kind']}")
        return pages.show(self, request, form, question)

    @action(description="Try", icon="send", url_path="try")  # type: ignore[untyped-decorator]  # Unfold has no types
    def try_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send a trial message now."""
        row = self._mine(request, object_id)
        question = pages.Question(f"Try {row.name}", "Sends one message now.", "Send it", _page(row))

        def act(_: dict[str, Any]) -> pages.Done:
            said = keeping.attempt(row.pk, now=pages.now())
            return pages.Done(f"The provider took it. {said}".strip(), _page(row))

        return pages.ask(self, request, _yes(request), question, act)

    @action(description="Replace", icon="key", url_path="replace")  # type: ignore[untyped-decorator]  # Unfold has no types
    @method_decorator(sensitive_post_parameters())
    def replace_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Put other settings and secrets in place; what waits goes there."""
        row = self._mine(request, object_id)
        form = SettingsForm(row.kind, request.POST or None, initial=row.options)
        question = pages.Question(f"Replace {row.name}", _NOTE, "Replace", _page(row), dangerous=True)

        def act(cleaned: dict[str, Any]) -> pages.Done:
            keeping.replace(row.pk, form.given(cleaned), actor=pages.actor(request))
            return pages.Done(f"{row.name} is replaced.", _page(row))

        return pages.ask(self, request, form, question, act)

    @action(description="Switch on or off", icon="toggle_on", url_path="switch")  # type: ignore[untyped-decorator]  # Unfold has no types
    def switch_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let it send, or let its messages wait."""
        row = self._mine(request, object_id)
        word = "off" if row.enabled else "on"
        note = "What it should send waits." if row.enabled else "What waits is sent now."
        question = pages.Question(f"Switch {row.name} {word}", note, f"Switch {word}", _page(row))

        def act(_: dict[str, Any]) -> pages.Done:
            keeping.switch(row.pk, enabled=not row.enabled, actor=pages.actor(request))
            return pages.Done(f"{row.name} is {word}.", _page(row))

        return pages.ask(self, request, _yes(request), question, act)

    @action(description="Bind a chat", icon="link", url_path="bind")  # type: ignore[untyped-decorator]  # Unfold has no types
    def bind_chat(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Make a code that lets one Telegram chat give orders as a person."""
        row = self._mine(request, object_id, "reporting.add_chat")
        form = PersonForm(request.POST or None, initial={"person": request.user.pk})
        if not request.user.is_superuser:
            form.fields["person"].queryset = User.objects.filter(pk=request.user.pk or 0)  # type: ignore[attr-defined]  # a model choice
        note = "The code is shown once and counts for 15 minutes, for the chat that sends it."
        question = pages.Question(f"Bind a chat to {row.name}", note, "Make a code", _page(row), dangerous=True)

        def act(cleaned: dict[str, Any]) -> pages.Done:
            code = binding.make(row.pk, cleaned["person"].pk, now=pages.now())
            return pages.Done(f"Send this to the bot within 15 minutes: /bind {code}", _page(row))

        return pages.ask(self, request, form, question, act)

    @action(description="Delete", icon="delete", url_path="remove")  # type: ignore[untyped-decorator]  # Unfold has no types
    def delete_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Delete a channel that nothing hangs on."""
        row = self._mine(request, object_id, "reporting.delete_channel")
        question = pages.Question(f"Delete {row.name}", "It is gone at once.", "Delete", _page(row), dangerous=True)

        def act(_: dict[str, Any]) -> pages.Done:
            keeping.remove(row.pk, actor=pages.actor(request))
            return pages.Done(f"{row.name} is deleted.", reverse(LIST))

        return pages.ask(self, request, _yes(request), question, act)

    def _mine(self, request: HttpRequest, object_id: str, permission: str = "reporting.change_channel") -> Channel:
        row: Channel | None = self.get_object(request, object_id)
        if row is None:
            raise Http404
        if not request.user.has_perm(permission):
            raise PermissionDenied
        return row


@admin.register(Chat)
class ChatAdmin(ReadOnlyPage):
    """Which chats give orders as whom."""

    list_display = ("chat_id", cells.text("person"), cells.linked("channel"), cells.instant("bound_at"))
    list_select_related = ("person", "channel")
    actions_detail = ("release_it",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Chat]:
        """Show a person their own chats."""
        return selectors.own(super().get_queryset(request), request.user, person_id=request.user.pk)

    @action(description="Release", icon="link_off", url_path="release")  # type: ignore[untyped-decorator]  # Unfold has no types
    def release_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let the chat give no more orders; everybody may do that with their own."""
        row: Chat | None = self.get_object(request, object_id)
        if row is None:
            raise Http404
        back = reverse("admin:reporting_chat_changelist")
        question = pages.Question(f"Release {row}", "It gives no more orders at once.", "Release", back, dangerous=True)

        def act(_: dict[str, Any]) -> pages.Done:
            binding.release(row, actor=pages.actor(request))
            return pages.Done("The chat gives no more orders.", back)

        return pages.ask(self, request, _yes(request), question, act)


def _yes(request: HttpRequest) -> forms.Form:
    """Return a form without fields: to send it is to say yes."""
    return forms.Form(request.POST if request.method == "POST" else None)


def _page(row: Channel) -> str:
    return reverse("admin:reporting_channel_change", args=[row.pk])
