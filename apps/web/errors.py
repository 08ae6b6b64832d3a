"""Pages of failure: what happened and what to do, in the site's look for people, as a problem for programs.

None of them asks the database or Redis: they are shown when nothing else works.
"""

import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import REASON_NO_CSRF_COOKIE, REASON_NO_REFERER
from django.template.loader import render_to_string
from django.views.decorators.csrf import requires_csrf_token

from apps.web import problems

RETRY_AFTER = problems.RETRY_AFTER_SECONDS
AWAY = (OperationalError, InterfaceError)


class Failure(NamedTuple):
    """What a page of failure says: its title, what happened, and what to do."""

    status: int
    kind: str
    title: str
    happened: str
    todo: str
    again: int = 0  # seconds after which the page asks again by itself


_UNREADABLE = Failure(
    400, "bad-request", "This request cannot be read", "Something in its address or its form is not as it should be.",
    "Go back, reload the page, and try again. If you typed the address, check it.",
)  # fmt: skip
_FORBIDDEN = Failure(
    403, "forbidden", "You may not do that", "You are signed in, but your role does not include this.",
    "If you should be able to, ask an administrator of this site for the role. Signing in again does not help.",
)  # fmt: skip
_NOT_FOUND = Failure(
    404, "not-found", "There is nothing here",
    "The address is wrong, or what it names does not exist, or it is not among your accounts.",
    "Check the address, or go on from the first page.",
)  # fmt: skip
_BUG = Failure(
    500, "internal", "Something went wrong on our side",
    "This is a fault of the site, not yours. It has been written to the log. Stops and targets are watched by "
    "processes of their own and go on.",
    "Look first whether what you did took effect, then try again. If it fails again, tell who runs the site when it "
    "happened and what you did.",
)  # fmt: skip
_DATABASE_AWAY = Failure(
    503, "try-later", "The database does not answer",
    "Nothing was changed by this request, unless it had committed already. Nothing can be shown or saved before the "
    "database is back. Exits that are due then are executed at once and say that they are late.",
    "Wait: this page asks again by itself every few seconds. If it stays, who runs the site finds the reason with "
    "'manage.py doctor'.",
    RETRY_AFTER,
)  # fmt: skip
_CSRF = Failure(
    403, "csrf", "This form is no longer valid",
    "Forms carry a sign that they come from this very site and your present session; the sign is missing or old.",
    "Go back, reload the page, and send it again. Signing in or out in another tab makes older forms invalid.",
)  # fmt: skip
_NO_COOKIES = _CSRF._replace(
    happened="Your browser sent no cookie with the form, so it cannot be told from one that another site made up.",
    todo="Allow cookies for this site, reload the page, and send the form again.",
)
_NO_REFERER = _CSRF._replace(
    happened="Your browser hides which page a form comes from, so it cannot be told from another site's.",
    todo="Allow your browser to send the Referer to the site itself, reload the page, and send the form again.",
)


class DatabaseAway:
    """Answers with the page for it when the database went away during a request; outermost, so that it sees all."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._answer = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        return self._answer(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer what a view raised, if that is the database's absence."""
        return answer(request, _DATABASE_AWAY) if isinstance(exception, AWAY) else None


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that cannot be read."""
    return answer(request, _UNREADABLE)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request for what the person may not do; a reason that was given is shown."""
    said = str(exception) if isinstance(exception, PermissionDenied) else ""
    return answer(request, _FORBIDDEN._replace(happened=said) if said else _FORBIDDEN)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request for what is not there."""
    return answer(request, _NOT_FOUND)


@requires_csrf_token
def server_error(request: HttpRequest) -> HttpResponse:
    """Answer a request that failed by a bug, or by the database's absence before the view was reached."""
    return answer(request, _DATABASE_AWAY if isinstance(sys.exc_info()[1], AWAY) else _BUG)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form that did not prove to be ours."""
    known = {REASON_NO_CSRF_COOKIE: _NO_COOKIES, REASON_NO_REFERER: _NO_REFERER}
    return answer(request, known.get(reason, _CSRF))


def answer(request: HttpRequest, failure: Failure) -> HttpResponse:
    """Return the page, or for programs the problem."""
    if request.path.startswith("/api/"):
        response = problems.plain_response(failure.kind, failure.status, f"{failure.title}. {failure.happened}")
    else:
        context = {"failure": failure, "phrase": HTTPStatus(failure.status).phrase, "again": _again(request, failure)}
        response = HttpResponse(render_to_string("errors/failure.html", context), status=failure.status)
    if failure.again:
        response["Retry-After"] = str(failure.again)
    response["Cache-Control"] = "no-store"
    return response


def _again(request: HttpRequest, failure: Failure) -> int:
    """Return after how many seconds the page may ask again by itself: never for a form that was sent."""
    return failure.again if request.method == "GET" else 0
