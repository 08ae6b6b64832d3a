"""Before what is dangerous one proves anew who one is, unless that was done within the last minutes.

What counts: signing in, the password, a code, a security key. Pages named in `REAUTHENTICATE_BEFORE` are guarded by the
middleware; a view elsewhere takes the decorator `recently`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from apps.access import sessions
from apps.access.desk import pages

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def proved_at(request: HttpRequest) -> datetime | None:
    """Return when the person in this session last proved who they are; None when they never did."""
    # A record is made with the password already, when the second factor has yet to come: this session is past both.
    instants = [record["at"] for record in get_authentication_records(request, request.user)]
    instants += [request.session[sessions.BEGAN]] if sessions.BEGAN in request.session else []
    return datetime.fromtimestamp(max(instants), UTC) if instants else None


def is_recent(request: HttpRequest, *, now: datetime) -> bool:
    """Say whether that was recently enough for what is dangerous; in single-user mode nobody is asked."""
    at = proved_at(request)
    return settings.SINGLE_USER or (at is not None and now - at < settings.REAUTHENTICATE_AFTER)


def recently(view: View[P]) -> View[P]:
    """Let a view be reached only by who proved recently who they are; others are asked first and come back."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if request.user.is_authenticated and not is_recent(request, now=pages.now()):
            return ask(request)
        return view(request, *args, **kwargs)

    return guarded


def ask(request: HttpRequest) -> HttpResponse:
    """Send the person to prove who they are and then back here; a program is told in words.

    What a form held is not kept: it may be a key, and nothing like that belongs in a session.
    """
    if request.path.startswith("/api/"):
        raise PermissionDenied(f"Prove first who you are, at {reverse('account_reauthenticate')}: this is dangerous.")
    if request.method != "GET":
        messages.warning(request, "Too long ago that you signed in. Once you have confirmed, send the form again.")
    return HttpResponseRedirect(f"{_where(request.user)}?{urlencode({'next': request.get_full_path()})}")


def _where(user: Any) -> str:
    methods = get_adapter().get_reauthentication_methods(user)
    # Who signs in elsewhere alone has nothing to prove here: a new sign-in is their proof.
    return str(methods[0]["url"]) if methods else reverse("sign-in-again")
