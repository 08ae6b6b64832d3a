"""Between a request and its page: sessions that end, the second factor, the proof before what is dangerous."""

from collections.abc import Callable
from typing import Any

from allauth.account import views as account
from django.conf import settings
from django.contrib.auth import login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from apps.access import history, nearness, reauthentication, second_factor, sessions
from apps.access.desk import pages
from apps.access.models import User

Answer = Callable[[HttpRequest], HttpResponse]
_BACKEND = "django.contrib.auth.backends.ModelBackend"
# Where somebody without the second factor may be: enrolling, signing out, and what pages are made of.
_ENROLLING = ("/account/", "/admin/logout/", "/admin/jsi18n/", "/api/docs", "/api/schema")


class SingleUser:
    """Signs whoever sits at this machine in as the first superuser, when the site is set up for one person."""

    def __init__(self, get_response: Answer) -> None:
        self._answer = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        if settings.SINGLE_USER and not _needs_somebody_else(request) and not request.user.is_authenticated:
            if not nearness.is_local(request):
                raise PermissionDenied("This site is set up for one person at its own machine (SINGLE_USER=1).")
            user = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
            if user is not None:
                login(request, user, backend=_BACKEND)
        return self._answer(request)


class Signed:
    """Says who acts, so that the history of settings can name them; a program may say why in a header."""

    def __init__(self, get_response: Answer) -> None:
        self._answer = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""

        def actor() -> str:
            # Asked for when something is changed: only by then the API has read who a token belongs to.
            return str(request.user.get_username())

        door = request.path.split("/")[1] or "desk"
        with history.by(actor, source=door, reason=request.headers.get("X-Change-Reason", "")):
            return self._answer(request)


class Watch:
    """Ends sessions that are over, and holds up whoever lacks the second factor or a recent proof."""

    def __init__(self, get_response: Answer) -> None:
        self._answer = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        if _needs_nobody(request.path) or not _has_session(request) or not request.user.is_authenticated:
            return self._answer(request)
        now = pages.now()
        if sessions.is_over(request, now=now):
            sessions.closed(request.session.session_key, now=now)
            request.session.flush()
            return HttpResponseRedirect(request.get_full_path())  # asks to sign in, and comes back
        if _is_person(request):
            sessions.see(request, now=now)
        if not request.path.startswith(_ENROLLING) and second_factor.is_missing(request.user):
            return _enrol(request)
        return self._answer(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """Ask for a proof before the pages that the settings name; let everybody sign out where staff do."""
        match = request.resolver_match
        if match is not None and match.view_name == "admin:logout":
            return account.logout(request)  # type: ignore[no-any-return]  # the admin's own asks for staff
        if match is None or match.view_name not in settings.REAUTHENTICATE_BEFORE or not _has_session(request):
            return None
        if not request.user.is_authenticated or reauthentication.is_recent(request, now=pages.now()):
            return None
        return reauthentication.ask(request)


def _needs_nobody(path: str) -> bool:
    return path.startswith(("/static/", "/health/", "/metrics"))


def _needs_somebody_else(request: HttpRequest) -> bool:
    return _needs_nobody(request.path) or "Authorization" in request.headers


def _has_session(request: HttpRequest) -> bool:
    return settings.SESSION_COOKIE_NAME in request.COOKIES or hasattr(request, "_cached_user")


def _is_person(request: HttpRequest) -> bool:
    """Say whether a person did something, rather than a page that asks again by itself every few seconds."""
    if request.method not in ("GET", "HEAD"):
        return True
    if "HX-Request" in request.headers:
        return False
    return request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"


def _enrol(request: HttpRequest) -> HttpResponse:
    if request.path.startswith(("/api/", "/ws/")):
        raise PermissionDenied(
            "Add a second factor first: sign in with a browser and follow the page that asks for it."
        )
    return HttpResponseRedirect(reverse("mfa_index"))
