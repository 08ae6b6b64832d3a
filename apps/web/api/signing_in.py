"""Pairs of short-lived tokens over the API: ask for one, renew it, end it."""

from typing import Any

from django.conf import settings
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from apps.access import pairs, proving, selectors, sessions
from apps.access.authentication import TokenAuthentication
from apps.access.models import ApiToken, Pair, Scope
from apps.web.api import throttling
from apps.web.api.described import WRITING, answers
from apps.web.api.fields import Strict, Word
from apps.web.api.views import Door
from apps.web.problems import FieldRefused

LONGEST = 1000  # characters of a password or a token


class Secret(serializers.CharField):
    """A text that is taken as it is, and never shown back."""

    def __init__(self, longest: int = LONGEST, **kwargs: Any) -> None:
        self.longest = longest
        super().__init__(max_length=longest, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        """Return the text. Raises FieldRefused."""
        if not isinstance(data, str) or not 0 < len(data) <= self.longest or "\0" in data:
            raise FieldRefused("(hidden)", f"must be a text of at most {self.longest} characters", "give it as it is")
        return data


class PairIn(Strict):
    """Who asks: nothing beside an API token in the header, or name, password and the code of the second factor."""

    username = Secret(longest=150, required=False)
    password = Secret(required=False)
    code = Secret(required=False, help_text="Of the authenticator app, or a recovery code.")
    scope = Word(Scope, required=False, help_text="`read` if left out; not more than the token's.")


class RenewalIn(Strict):
    """The long token of a pair."""

    refresh = Secret()


class PairOut(serializers.Serializer[Any]):
    """Both tokens: the short one goes into the Authorization header, the long one is taken once."""

    access = serializers.CharField()
    refresh = serializers.CharField()
    scope = Word(Scope)
    access_seconds = serializers.IntegerField(help_text="For how long the short one counts.")
    refresh_seconds = serializers.IntegerField(help_text="For how long the pair can be renewed at all.")


class _Open(Door):
    """An address that a session of a browser does not open, and that needs no token."""

    authentication_classes = [TokenAuthentication]
    permission_classes = []
    queryset = Pair.objects.none()
    serializer_class = PairOut

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Look first whether the site gives pairs at all. Raises Http404."""
        if not settings.JWT_MINUTES:
            raise Http404
        super().initial(request, *args, **kwargs)

    def check_throttles(self, request: Request) -> None:
        """Count who is known; who is not is counted when refused."""
        if request.user.is_authenticated:
            super().check_throttles(request)

    def refuse(self, request: Request, why: object) -> AuthenticationFailed:
        """Return the refusal, counted by address. Raises throttling.Later."""
        throttling.refuse(request)
        return AuthenticationFailed(str(why))


class Pairs(_Open):
    """Ask for a pair."""

    @extend_schema(
        operation_id="jwt_open",
        summary="Ask for a pair of short-lived tokens",
        request=PairIn,
        responses=answers({201: PairOut}, *WRITING, 404),
    )
    def post(self, request: Request) -> Response:
        """Give a pair for an API token in the header, or for name, password and code."""
        asked, now = self.asked(PairIn), timezone.now()
        token, wanted = request.auth, asked.pop("scope", Scope.READ)
        if isinstance(token, Pair):
            raise PermissionDenied("A pair is given for an API token or for name, password and code, not for a pair.")
        if isinstance(token, ApiToken):
            if not selectors.includes(token.scope, wanted):
                raise PermissionDenied(f"This token has the scope '{token.scope}' and cannot give '{wanted}'.")
            user = token.user
        else:
            token, user = None, self._proved(request, asked)
        address = sessions.address_of(request._request)
        given = pairs.open_pair(user=user, token=token, scope=wanted, address=address, now=now)
        return _told(given, 201)

    def _proved(self, request: Request, asked: dict[str, Any]) -> Any:
        if not {"username", "password"} <= set(asked):
            throttling.refuse(request)
            raise NotAuthenticated("Send an API token in the header, or `username`, `password` and `code`.")
        try:
            return proving.by_password(request._request, **{"code": "", **asked})
        except proving.TryLater as error:
            raise throttling.Later(str(error), error.seconds) from error
        except proving.NotProved as error:
            raise self.refuse(request, error) from error


class Renewing(_Open):
    """Renew a pair."""

    @extend_schema(
        operation_id="jwt_renew",
        summary="Take the long token, give the next pair",
        request=RenewalIn,
        responses=answers({200: PairOut}, *WRITING, 404),
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Give the next pair. A long token that comes twice was copied: the whole pair ends."""
        text, address = self.asked(RenewalIn)["refresh"], sessions.address_of(request._request)
        try:
            return _told(pairs.renew(text, address=address, now=timezone.now()), 200)
        except pairs.PairRefused as error:
            raise self.refuse(request, error) from error


class Ending(_Open):
    """End a pair."""

    @extend_schema(
        operation_id="jwt_end",
        summary="End a pair",
        request=RenewalIn,
        responses=answers({204: None}, *WRITING, 404),
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """End a pair: neither of its tokens counts any more."""
        text, address = self.asked(RenewalIn)["refresh"], sessions.address_of(request._request)
        try:
            pairs.revoke(text, address=address, now=timezone.now())
        except pairs.PairRefused as error:
            raise self.refuse(request, error) from error
        return Response(status=204)


def _told(given: pairs.Given, status: int) -> Response:
    found = {name: getattr(given, name) for name in ("access", "refresh", "access_seconds", "refresh_seconds")}
    body = PairOut({**found, "scope": Scope(given.pair.scope)}).data
    return Response(body, status=status, headers={"Cache-Control": "no-store"})
