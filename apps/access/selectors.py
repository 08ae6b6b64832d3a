"""Reading API tokens."""

from datetime import datetime

from django.db.models import QuerySet

from apps.access.models import ApiToken, Scope

_RANK = {Scope.READ: 0, Scope.TRADE: 1, Scope.ADMIN: 2}


def token_of(text: str) -> ApiToken | None:
    """Return the token that a text spells, with its user, or None; only digests are compared."""
    return ApiToken.objects.select_related("user").filter(digest=ApiToken.digest_of(text)).first()


def tokens() -> QuerySet[ApiToken]:
    """Return all tokens with their users, newest first."""
    return ApiToken.objects.select_related("user")


def why_unusable(token: ApiToken, now: datetime) -> str:
    """Say in one sentence why a token may not be used now; empty when it may."""
    if token.revoked_at is not None:
        return f"This token was revoked on {token.revoked_at:%Y-%m-%d}."
    if token.expires_at is not None and token.expires_at <= now:
        return f"This token expired on {token.expires_at:%Y-%m-%d}."
    if not token.user.is_active:
        return "The user of this token is switched off."
    return ""


def includes(scope: str, wanted: Scope) -> bool:
    """Say whether a token's scope is enough for what is wanted; each scope includes those before it."""
    return _RANK[Scope(scope)] >= _RANK[wanted]
