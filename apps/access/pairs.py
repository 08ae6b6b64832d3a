"""Pairs of signed tokens (JWT): given, renewed by turns, ended.

The short token lets in for minutes, the long one is taken once for the next pair. A long one that comes a second time
was copied: the whole pair ends. Both are signed with a key derived from SECRET_KEY; the row can be taken back at once.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import jwt
from django.conf import settings
from django.db import transaction
from django.db.models import F
from jwt.types import Options

from apps.access import selectors
from apps.access.models import ApiToken, Pair, Scope, User
from apps.journal import services as journal

ACCESS: Final = "access"
REFRESH: Final = "refresh"
ISSUER: Final = "tradingsite"
KEPT: Final = timedelta(days=30)  # after a pair's end, until the same person gets another one
_ALGORITHM: Final = "HS256"
_NEEDED: Final[Options] = {"require": ["exp", "iat", "iss", "sub"], "verify_exp": False, "verify_iat": False}


class PairRefused(Exception):
    """A signed token does not count (any more); the sentence says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Both tokens, shown once, and for how many seconds each counts."""

    pair: Pair
    access: str
    refresh: str
    access_seconds: int
    refresh_seconds: int


def open_pair(*, user: User, token: ApiToken | None, scope: Scope, address: str | None, now: datetime) -> Given:
    """Give a first pair: on the strength of an API token, or of password and code when `token` is None."""
    ends = now + timedelta(hours=settings.JWT_HOURS)
    if token is not None and token.expires_at is not None:
        ends = min(ends, token.expires_at)
    with transaction.atomic():
        Pair.objects.filter(user=user, expires_at__lt=now - KEPT).delete()
        row = Pair.objects.create(
            user=user,
            token=token,
            scope=scope,
            sign="" if token else selectors.sign_of(user),
            address=address,
            created_at=now,
            renewed_at=now,
            expires_at=ends,
        )
        payload = {"scope": str(scope), "address": address, "by": "token" if token else "password"}
        journal.record("access.pair_opened", f"user:{user.pk}", actor=user.get_username(), payload=payload)
    return _given(row, now)


def renew(text: str, *, address: str | None, now: datetime) -> Given:
    """Take the long token and give the next pair. Raises PairRefused."""
    row, claims = _known(text, REFRESH, address=address, now=now)
    turned = Pair.objects.filter(pk=row.pk, turn=claims["turn"], ended_at=None)
    if not turned.update(turn=F("turn") + 1, renewed_at=now, address=address):
        end(row, why="its long token came twice", now=now)
        raise PairRefused("This long token was taken before, so the pair has ended: sign in anew.")
    row.turn = claims["turn"] + 1
    return _given(row, now)


def revoke(text: str, *, address: str | None, now: datetime) -> None:
    """End the pair of a long token. Raises PairRefused."""
    row, _ = _known(text, REFRESH, address=address, now=now)
    end(row, why="signed out", now=now)


def end(row: Pair, *, why: str, now: datetime) -> None:
    """End a pair at once; a no-op when it has ended."""
    with transaction.atomic():
        if Pair.objects.filter(pk=row.pk, ended_at=None).update(ended_at=now):
            payload = {"scope": row.scope, "why": why}
            journal.record("access.pair_ended", f"user:{row.user_id}", actor=row.user.get_username(), payload=payload)


def of_access(text: str, *, address: str | None, now: datetime) -> Pair:
    """Return the pair whose short token a text is. Raises PairRefused."""
    return _known(text, ACCESS, address=address, now=now)[0]


def _known(text: str, kind: str, *, address: str | None, now: datetime) -> tuple[Pair, dict[str, Any]]:
    claims = _read(text)
    if claims.get("kind") != kind:
        raise PairRefused(f"This is not the {'short' if kind == ACCESS else 'long'} token of a pair.")
    if claims["exp"] <= now.timestamp():
        raise PairRefused("This token has expired: renew the pair, or ask for a new one.")
    row = selectors.pair(claims["pair"])
    if row is None or str(row.user_id) != claims["sub"]:
        raise PairRefused("This pair of tokens is not known: ask for a new one.")
    if reason := selectors.why_ended(row, now, address):
        raise PairRefused(reason)
    return row, claims


def _given(row: Pair, now: datetime) -> Given:
    short = min(timedelta(minutes=settings.JWT_MINUTES), row.expires_at - now)
    return Given(
        pair=row,
        access=_written(row, ACCESS, now, now + short),
        refresh=_written(row, REFRESH, now, row.expires_at),
        access_seconds=int(short.total_seconds()),
        refresh_seconds=int((row.expires_at - now).total_seconds()),
    )


def _written(row: Pair, kind: str, now: datetime, until: datetime) -> str:
    claims = {
        "iss": ISSUER,
        "sub": str(row.user_id),
        "iat": int(now.timestamp()),
        "exp": int(until.timestamp()),
        "kind": kind,
        "pair": row.pk,
        "turn": row.turn,
        "scope": str(row.scope),
    }
    return jwt.encode(claims, _key(settings.SECRET_KEY), algorithm=_ALGORITHM)


def _read(text: str) -> dict[str, Any]:
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            # The clock is ours to read: the caller compares the end.
            claims: dict[str, Any] = jwt.decode(
                text, _key(secret), algorithms=[_ALGORITHM], issuer=ISSUER, options=_NEEDED
            )
        except jwt.InvalidSignatureError:
            continue
        except jwt.InvalidTokenError:
            break
        return claims
    raise PairRefused("This token is none of ours, or was changed: ask for a new pair.")


def _key(secret: str) -> bytes:
    return hmac.new(secret.encode(), b"tradingsite pair v1", sha256).digest()
