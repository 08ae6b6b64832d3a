"""API tokens: made on a page that shows the text once, and revoked; never edited, never shown again."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from apps.access import selectors, services
from apps.access.desk import cells, pages
from apps.access.desk.fields import LineField
from apps.access.desk.rows import ReadOnlyPage
from apps.access.models import ApiToken, Scope, User


class NewTokenForm(forms.Form):
    """What a new token is for."""

    user = forms.ModelChoiceField(User.objects.filter(is_active=True), widget=UnfoldAdminSelectWidget)
    scope = forms.ChoiceField(choices=Scope.choices, widget=UnfoldAdminSelectWidget)
    name = LineField(max_length=80, required=False, help_text="What it is for.")
    expires_days = forms.IntegerField(
        min_value=1,
        max_value=3650,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Days until it expires; empty: never.",
    )
    networks = LineField(
        max_length=400,
        required=False,
        help_text="The only networks it may be used from, like 10.1.0.0/16, 192.0.2.7; empty: anywhere.",
    )

    def clean_networks(self) -> list[str]:
        """Return the networks. Raises ValidationError."""
        words = str(self.cleaned_data["networks"]).replace(",", " ").split()
        try:
            return services.read_networks(words)
        except services.BadNetwork as error:
            raise forms.ValidationError(str(error)) from error


@cells.computed("state")
def state(row: ApiToken) -> str:
    """Say whether a token may be used, and if not why."""
    reason = selectors.why_unusable(row, pages.now())
    return cells.tag("usable", "good") if not reason else cells.tag(reason, "idle")


@cells.computed("only from")
def only_from(row: ApiToken) -> str:
    """Name the networks a token is bound to."""
    return ", ".join(row.networks) or "anywhere"


@cells.computed("last seen from")
def seen_from(row: ApiToken) -> str:
    """Name the addresses a token was used from, the last one first."""
    return ", ".join(sorted(row.seen_from, key=lambda address: str(row.seen_from[address]), reverse=True)) or "nowhere"


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyPage):
    """Only a digest of each token is stored; who lost the text makes a new one."""

    list_display = (
        "prefix",
        "name",
        cells.text("user"),
        "scope",
        state,
        cells.instant("created_at"),
        cells.instant("expires_at"),
        cells.instant("last_used_at"),
    )
    shown = (*list_display, cells.instant("revoked_at"), only_from, seen_from)
    list_filter = ("scope", ("revoked_at", admin.EmptyFieldListFilter))
    search_fields = ("prefix", "name", "user__username")
    list_select_related = ("user",)
    actions = ("revoke",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        """Show a person their own tokens, a superuser all."""
        rows: QuerySet[ApiToken] = super().get_queryset(request)
        return rows if request.user.is_superuser else rows.filter(user__username=pages.actor(request))

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """A superuser makes tokens for anybody, others for themselves if they may."""
        return request.user.has_perm("access.add_apitoken")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Revoking counts as a change."""
        return request.user.has_perm("access.change_apitoken")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Make a token and show its text, this once."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewTokenForm(request.POST or None, initial={"user": request.user, "scope": Scope.READ})
        if not request.user.is_superuser:
            form.fields["user"].queryset = User.objects.filter(username=pages.actor(request))  # type: ignore[attr-defined]  # a model choice
        back = reverse("admin:access_apitoken_changelist")
        if request.method == "POST" and form.is_valid():
            return self._show_once(request, self._make(form.cleaned_data), back)
        note = "The token is shown once, on the next page. Only its digest is stored."
        question = pages.Question("New API token", note, "Make the token", back)
        return pages.ask(self, request, form, question, lambda given: pages.Done("", back))

    @admin.action(description="Revoke at once", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """Revoke the chosen tokens; sockets they opened end within seconds."""
        at = pages.now()
        count = sum(len(services.revoke_tokens(row.prefix, now=at)) for row in queryset)
        messages.success(request, f"{count} token{'' if count == 1 else 's'} revoked.")

    def _make(self, given: dict[str, Any]) -> services.NewToken:
        at, days = pages.now(), given["expires_days"]
        expires_at = at + timedelta(days=days) if days else None
        scope = Scope(given["scope"])
        return services.create_token(
            user=given["user"],
            scope=scope,
            name=given["name"],
            now=at,
            expires_at=expires_at,
            networks=given["networks"],
        )

    def _show_once(self, request: HttpRequest, made: services.NewToken, back: str) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "opts": self.model._meta,
            "title": "Your new API token",
            "text": made.text,
            "token": made.token,
            "back": back,
        }
        return TemplateResponse(request, "admin/token_once.html", context)  # admin pages are never stored in caches
