"""What somebody reads who failed to sign in too often, and what the journal keeps of it."""

from typing import Any

from axes.signals import user_locked_out
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from apps.journal import services as journal

TEMPLATE = "errors/locked_out.html"


def answer(request: HttpRequest, response: HttpResponse | None, credentials: Any) -> HttpResponse:
    """Return the page that says for how long nobody may sign in by this name from this address."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    context = {"minutes": seconds // 60, "failures": settings.AXES_FAILURE_LIMIT}
    headers = {"Retry-After": str(seconds), "Cache-Control": "no-store"}
    return HttpResponse(render_to_string(TEMPLATE, context), status=429, headers=headers)


def connect() -> None:
    """Begin to listen."""
    user_locked_out.connect(_write_down, dispatch_uid="apps.access.lockout")


def _write_down(sender: Any, username: str, ip_address: str, **_later: Any) -> None:
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    if cache.add(f"locked-out:{ip_address}:{username}"[:200], True, seconds):
        # One event for each lockout, not for every knock at the locked door.
        payload = {"username": (username or "")[:150], "address": ip_address}
        journal.record("access.locked_out", "sign-in", payload=payload)
