"""The form by which a person signs in."""

from typing import Any, Final

from allauth.account.forms import LoginForm
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from apps.access import second_factor, sessions
from apps.access.desk import pages

_OFFER: Final = 'The password alone opens your account. <a href="{}">Add a second factor</a>.'


class SignIn(LoginForm):  # type: ignore[misc] # the library has no types
    """Name and password, in fields that password stores and scripts know by these names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].widget = UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "username", "autocapitalize": "none", "autofocus": True, "spellcheck": "false"}
        )
        self.fields["password"].widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "current-password"})

    def add_prefix(self, field_name: str) -> str:
        """Name the field of the name `username`, as Django's own form does."""
        return "username" if field_name == "login" else str(super().add_prefix(field_name))

    def login(self, request: HttpRequest, redirect_url: str | None = None) -> HttpResponse:
        """Sign in, or go on to the second factor; the library has just set an end of its own to the session."""
        response: HttpResponse = super().login(request, redirect_url=redirect_url)
        sessions.limit(request, now=pages.now())
        user = request.user
        # Where one is required, the page that asks for it says so.
        if user.is_authenticated and second_factor.is_offered(user) and not second_factor.is_missing(user):
            messages.info(request, format_html(_OFFER, reverse("mfa_index")))
        return response
