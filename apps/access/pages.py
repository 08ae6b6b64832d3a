"""What the pages of one's own account need to look like the rest of the site."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from apps.access.models import User

_OURS = ("account_", "mfa_", "socialaccount_", "openid_connect_")


def site_look(request: HttpRequest) -> dict[str, Any]:
    """Give pages of the sign-in library what the admin's templates ask for; other pages nothing."""
    match = getattr(request, "resolver_match", None)
    if match is None or not (match.url_name or "").startswith(_OURS):
        return {}
    return {**admin.site.each_context(request), "required": settings.SECOND_FACTOR == "required"}


def own(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the links of the menu under one's name."""
    links = [("Where you are signed in", "account-sessions"), ("Second factor", "mfa_index")]
    if isinstance(request.user, User) and request.user.has_usable_password():
        links.append(("Change password", "account_change_password"))
    return [{"title": title, "link": reverse(name)} for title, name in links]
