"""Reading API tokens and pairs."""

from datetime import datetime
from hashlib import sha256
from ipaddress import ip_address, ip_network

from allauth.mfa.models import Authenticator
from django.db.models import QuerySet
from django.utils.crypto import constant_time_compare

from apps.access.models import ApiToken, Pair, Scope, User

_RANK = {Scope.READ: 0, Scope.TRADE: 1, Scope.ADMIN: 2}


def token_of(text: str) -> ApiToken | None:
    """Return the token that a text spells, with its user, or None; only digests are compared."""
    return ApiToken.objects.select_related("user").filter(digest=ApiToken.digest_of(text)).first()


def tokens() -> QuerySet[ApiToken]:
    """Return all tokens with their users, newest first."""
    return ApiToken.objects.select_related("user")


def why_unusable(token: ApiToken, now: datetime, address: str | None = None) -> str:
    """Say in one sentence why a token may not be used now, from an address; empty when it may.

    One that is bound to networks is refused where the address is not known.
    """
    if token.revoked_at is not None:
        return f"This token was revoked on {token.revoked_at:%Y-%m-%d}."
    if token.expires_at is not None and token.expires_at <= now:
        return f"This token expired on {token.expires_at:%Y-%m-%d}."
    if not token.user.is_active:
        return "The user of this token is switched off."
    if token.networks and not _is_within(address, token.networks):
        return f"This token may not be used from {address or 'here'}, only from {', '.join(token.networks)}."
    return ""


def pair(pk: int) -> Pair | None:
    """Return a pair with its user and token, or None."""
    return Pair.objects.select_related("user", "token__user").filter(pk=pk).first()


def why_ended(row: Pair, now: datetime, address: str | None) -> str:
    """Say in one sentence why a pair counts no more; empty while it does. A new password ends it, as its token does."""
    if row.ended_at is not None or row.expires_at <= now:
        return "This pair of tokens has ended: ask for a new one."
    if row.token is not None:
        return why_unusable(row.token, now, address)
    if not row.user.is_active:
        return "The user of this pair of tokens is switched off."
    if not constant_time_compare(row.sign, sign_of(row.user)):
        return "The password or the second factor was changed since: ask for a new pair of tokens."
    return ""


def sign_of(user: User) -> str:
    """Return what changes with a person's password and second factors."""
    factors = Authenticator.objects.filter(user_id=user.pk).exclude(type=Authenticator.Type.RECOVERY_CODES)
    words = [user.get_session_auth_hash(), *map(str, factors.order_by("pk").values_list("pk", flat=True))]
    return sha256(" ".join(words).encode()).hexdigest()


def includes(scope: str, wanted: Scope) -> bool:
    """Say whether a token's scope is enough for what is wanted; each scope includes those before it."""
    return _RANK[Scope(scope)] >= _RANK[wanted]


def _is_within(address: str | None, networks: list[str]) -> bool:
    return address is not None and any(ip_address(address) in ip_network(network) for network in networks)
