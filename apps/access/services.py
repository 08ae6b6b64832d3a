"""Making, using and revoking API tokens."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from apps.access.models import ApiToken, Scope, User

TOKEN_PREFIX = "ts_"  # noqa: S105 - what scanners of leaked secrets can look for, not a secret
TOKEN_BYTES = 32
SHOWN = len(TOKEN_PREFIX) + 8  # characters kept in clear, to recognise a token by
USE_RECORDED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token just made; `text` is shown once and stored nowhere."""

    token: ApiToken
    text: str


def create_token(
    *, user: User, scope: Scope, now: datetime, name: str = "", expires_at: datetime | None = None
) -> NewToken:
    """Make a token of 256 random bits for a user and store its SHA-256."""
    text = TOKEN_PREFIX + secrets.token_hex(TOKEN_BYTES)
    token = ApiToken.objects.create(
        user=user,
        name=name,
        prefix=text[:SHOWN],
        digest=ApiToken.digest_of(text),
        scope=scope,
        created_at=now,
        expires_at=expires_at,
    )
    return NewToken(token=token, text=text)


def revoke_tokens(prefix: str, *, now: datetime) -> list[ApiToken]:
    """Revoke the tokens that begin with `prefix` and return them; those revoked before stay as they are."""
    rows = list(ApiToken.objects.filter(prefix=prefix[:SHOWN], revoked_at=None).select_related("user"))
    ApiToken.objects.filter(pk__in=[row.pk for row in rows], revoked_at=None).update(revoked_at=now)
    return rows


def record_use(token: ApiToken, *, now: datetime) -> None:
    """Note that a token was used, at most once a minute: reading must not cost a write each time."""
    if token.last_used_at is not None and token.last_used_at > now - USE_RECORDED_EVERY:
        return
    long_ago = Q(last_used_at=None) | Q(last_used_at__lte=now - USE_RECORDED_EVERY)
    ApiToken.objects.filter(long_ago, pk=token.pk).update(last_used_at=now)
