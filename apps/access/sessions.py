"""Who is signed in where: sessions that end by themselves, can be seen, and can be ended by hand.

The instant a session is over at the latest stands in the session's own row, so that whatever reads sessions (pages,
API, WebSocket) sees the end without asking here.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest

from apps.access.models import SignIn, User
from apps.journal import services as journal

BEGAN: Final = "signed_in_at"
SEEN: Final = "seen_at"
SEEN_EVERY: Final = 60  # seconds between writes: reading pages must not cost a write each time
AGENT_LENGTH: Final = 200


def begin(request: HttpRequest, user: User, *, now: datetime) -> None:
    """Start the clocks of a session in which a person has just signed in, and list it."""
    request.session[BEGAN] = request.session[SEEN] = int(now.timestamp())
    limit(request, now=now)
    if request.session.session_key is None:
        request.session.create()
    SignIn.objects.update_or_create(
        session_key=request.session.session_key,
        defaults={
            "user": user,
            "address": address_of(request),
            "agent": request.headers.get("User-Agent", "")[:AGENT_LENGTH],
            "signed_in_at": now,
            "seen_at": now,
            "ended_at": None,
        },
    )


def limit(request: HttpRequest, *, now: datetime) -> None:
    """Let the session end after the idle time, and at the latest at the end of its longest time."""
    began = datetime.fromtimestamp(request.session.get(BEGAN, int(now.timestamp())), UTC)
    request.session.set_expiry(min(now + settings.SESSION_IDLE, began + settings.SESSION_LONGEST))


def see(request: HttpRequest, *, now: datetime) -> None:
    """Note that a person is there; written at most once a minute."""
    seen = request.session.get(SEEN)
    if seen is None:  # a session from before this version
        request.session[BEGAN] = int(now.timestamp())
    elif now.timestamp() - seen < SEEN_EVERY:
        return
    request.session[SEEN] = int(now.timestamp())
    limit(request, now=now)
    SignIn.objects.filter(session_key=request.session.session_key).update(seen_at=now)


def is_over(request: HttpRequest, *, now: datetime) -> bool:
    """Say whether a session has outlived its longest time; one that was idle is gone from the table already."""
    began = request.session.get(BEGAN)
    return began is not None and now.timestamp() >= began + settings.SESSION_LONGEST.total_seconds()


def listed(user: Any, *, now: datetime) -> list[SignIn]:
    """Return where a person is signed in at present, last seen first."""
    there = Session.objects.filter(expire_date__gt=now).values("session_key")
    rows = SignIn.objects.filter(user_id=user.pk, ended_at=None, session_key__in=there)
    return list(rows.order_by("-seen_at", "-id"))


def end(rows: Iterable[SignIn], *, now: datetime, actor: str) -> int:
    """End sessions at once and return how many; the journal says who ended whose."""
    chosen = list(rows)
    with transaction.atomic():
        SignIn.objects.filter(pk__in=[row.pk for row in chosen], ended_at=None).update(ended_at=now)
        Session.objects.filter(session_key__in=[row.session_key for row in chosen]).delete()
        for user_id in sorted({row.user_id for row in chosen}):
            count = sum(row.user_id == user_id for row in chosen)
            journal.record("access.sessions_ended", f"user:{user_id}", actor=actor, payload={"sessions": count})
    return len(chosen)


def end_others(user: Any, *, but: str | None, now: datetime, actor: str) -> int:
    """End all sessions of a person but one, and return how many."""
    return end([row for row in listed(user, now=now) if row.session_key != but], now=now, actor=actor)


def renamed(before: str | None, after: str | None) -> None:
    """Follow a session that got another key, as a new password gives it one."""
    if before != after:
        SignIn.objects.filter(session_key=before).update(session_key=after)


def closed(session_key: str | None, *, now: datetime) -> None:
    """Note that a person signed out."""
    SignIn.objects.filter(session_key=session_key, ended_at=None).update(ended_at=now)


def address_of(request: HttpRequest) -> str | None:
    """Return the address a request came from; None where the server does not know one."""
    try:
        return str(ip_address(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return None
