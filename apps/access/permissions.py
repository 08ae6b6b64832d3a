"""What a caller may do: a signed-in person everything their rows allow, a token what its scope says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from apps.access import bearers, selectors
from apps.access.models import Scope

if TYPE_CHECKING:  # the framework loads this module while it loads its views
    from rest_framework.views import APIView


class ScopePermission(BasePermission):
    """Reading needs the scope `read`, anything else `trade`, unless the view names another in `scope`."""

    message = "This token may not do that."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Say whether the caller is signed in and, with a token, has the scope the request needs."""
        if not request.user.is_authenticated:
            return False
        wanted = scope_needed(request.method or "", view)
        if not bearers.is_bearer(request.auth) or selectors.includes(request.auth.scope, wanted):
            return True
        self.message = (
            f"This needs a token with the scope '{wanted}', and this one has '{request.auth.scope}': make one with "
            f"'manage.py apitoken create --user {request.user.get_username()} --scope {wanted}'."
        )
        return False


def scope_needed(method: str, view: APIView) -> Scope:
    """Return the scope a request to a view needs."""
    named: Scope | None = getattr(view, "scope", None)
    return named or (Scope.READ if method in SAFE_METHODS else Scope.TRADE)


def actor_of(request: Request) -> str:
    """Return who asked, for the journal: the user's name, and the token's first characters when it was a token."""
    name: str = request.user.get_username()
    return f"{name[:130]} ({request.auth.prefix})" if bearers.is_bearer(request.auth) else name
