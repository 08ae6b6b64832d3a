"""Making, using and revoking API tokens."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_network

from django.db.models import Q

from apps.access.models import ApiToken, Scope, User

TOKEN_PREFIX = "ts_"  # noqa: S105 - what scanners of leaked secrets can look for, not a secret
TOKEN_BYTES = 32
SHOWN = len(TOKEN_PREFIX) + 8  # characters kept in clear, to recognise a token by
USE_RECORDED_EVERY = timedelta(minutes=1)
MAX_NETWORKS = 20
ADDRESSES_KEPT = 10


class BadNetwork(Exception):
    """A network that a token shall be bound to cannot be read; the sentence names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token just made; `text` is shown once and stored nowhere."""

    token: ApiToken
    text: str


def create_token(
    *,
    user: User,
    scope: Scope,
    now: datetime,
    name: str = "",
    expires_at: datetime | None = None,
    networks: Sequence[str] = (),
) -> NewToken:
    """Make a token of 256 random bits for a user and store its SHA-256. Raises BadNetwork."""
    text = TOKEN_PREFIX + secrets.token_hex(TOKEN_BYTES)
    token = ApiToken.objects.create(
        user=user,
        name=name,
        prefix=text[:SHOWN],
        digest=ApiToken.digest_of(text),
        scope=scope,
        created_at=now,
        expires_at=expires_at,
        networks=read_networks(networks),
    )
    return NewToken(token=token, text=text)


def revoke_tokens(prefix: str, *, now: datetime) -> list[ApiToken]:
    """Revoke the tokens that begin with `prefix` and return them; those revoked before stay as they are."""
    rows = list(ApiToken.objects.filter(prefix=prefix[:SHOWN], revoked_at=None).select_related("user"))
    ApiToken.objects.filter(pk__in=[row.pk for row in rows], revoked_at=None).update(revoked_at=now)
    return rows


def read_networks(texts: Sequence[str]) -> list[str]:
    """Return networks as they are stored, like 10.1.0.0/16; an address alone is a network of one. Raises BadNetwork."""
    if len(texts) > MAX_NETWORKS:
        raise BadNetwork(f"At most {MAX_NETWORKS} networks.")
    found = []
    for text in texts:
        try:
            found.append(str(ip_network(text.strip())))
        except ValueError as error:
            raise BadNetwork(f"{text.strip()[:60]!r} is no network: write it like 10.1.0.0/16.") from error
    return found


def record_use(token: ApiToken, *, now: datetime, address: str | None = None) -> None:
    """Note when and from where a token was used, at most once a minute: reading must not cost a write each time."""
    is_recent = token.last_used_at is not None and token.last_used_at > now - USE_RECORDED_EVERY
    if is_recent and (address is None or address in token.seen_from):
        return
    seen = {**token.seen_from, **({address: now.isoformat(timespec="seconds")} if address else {})}
    newest = dict(sorted(seen.items(), key=lambda item: item[1])[-ADDRESSES_KEPT:])
    rows = ApiToken.objects.filter(pk=token.pk)
    if is_recent:
        rows.update(seen_from=newest)
        return
    long_ago = Q(last_used_at=None) | Q(last_used_at__lte=now - USE_RECORDED_EVERY)
    rows.filter(long_ago).update(last_used_at=now, seen_from=newest)
