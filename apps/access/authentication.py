"""Who is calling: an API token or the short token of a pair in the Authorization header, and nowhere else."""

import re

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.access import pairs, selectors, services, sessions
from apps.access.models import ApiToken, Pair, User

_TOKEN = re.compile(rf"{services.TOKEN_PREFIX}[0-9a-f]{{{services.TOKEN_BYTES * 2}}}")
_PAIRED = re.compile(r"eyJ[\w-]{10,600}\.[\w-]{10,600}\.[\w-]{43}", re.ASCII)
_TOKEN_PARAMETERS = frozenset(
    {
        "token",
        "access_token",
        "refresh_token",
        "jwt",
        "api_token",
        "api_key",
        "apikey",
        "auth",
        "authorization",
        "bearer",
    }
)


class TokenAuthentication(BaseAuthentication):
    """Signs a program in by `Authorization: Bearer TOKEN`."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken | Pair] | None:
        """Return the user and the token; None without the header. Raises AuthenticationFailed."""
        self._refuse_token_in_address(request)
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != b"bearer":
            return None
        if len(words) != 2:
            raise AuthenticationFailed("Write the header as 'Authorization: Bearer TOKEN'.")
        text = words[1].decode("latin-1")
        return self._of_pair(request, text) if _PAIRED.fullmatch(text) else self._sign_in(request, text)

    def authenticate_header(self, request: Request) -> str:
        """Return what a 401 asks for."""
        return 'Bearer realm="api"'

    def _of_pair(self, request: Request, text: str) -> tuple[User, Pair]:
        now = timezone.now()  # noqa: TID251 - a door: this is where a request's clock is read
        try:
            pair = pairs.of_access(text, address=sessions.address_of(request._request), now=now)
        except pairs.PairRefused as error:
            raise AuthenticationFailed(str(error)) from error
        return pair.user, pair

    def _sign_in(self, request: Request, text: str) -> tuple[User, ApiToken]:
        token = selectors.token_of(text) if _TOKEN.fullmatch(text) else None
        if token is None:
            raise AuthenticationFailed("This token is not known; make one with 'manage.py apitoken create'.")
        now = timezone.now()  # noqa: TID251 - a door: this is where a request's clock is read
        address = sessions.address_of(request._request)
        if reason := selectors.why_unusable(token, now, address):
            raise AuthenticationFailed(reason)
        services.record_use(token, now=now, address=address)
        return token.user, token

    def _refuse_token_in_address(self, request: Request) -> None:
        given = request.query_params
        if any(name.lower() in _TOKEN_PARAMETERS for name in given) or any(
            value.startswith((services.TOKEN_PREFIX, "eyJ")) for values in given.lists() for value in values[1]
        ):
            raise AuthenticationFailed(
                "A token in the address ends up in logs and histories: revoke it, and send a new one in the header "
                "'Authorization: Bearer TOKEN'."
            )
