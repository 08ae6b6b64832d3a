"""What a program may show to be let in: an API token, or the short-lived half of a pair (JWT)."""

from typing import Any, TypeGuard

from apps.access.models import ApiToken, Pair


def is_bearer(auth: Any) -> TypeGuard[ApiToken | Pair]:
    """Say whether a request was let in by a token, not by the session of a browser."""
    return isinstance(auth, ApiToken | Pair)


def key_of(auth: Any) -> str:
    """Return what requests with this token are counted by; empty for a session. A pair counts as its token."""
    if isinstance(auth, Pair):
        return f"token:{auth.token_id}" if auth.token_id else f"pair:{auth.pk}"
    return f"token:{auth.pk}" if isinstance(auth, ApiToken) else ""
