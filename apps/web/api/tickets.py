"""One-time tickets over the API: a way onto the WebSocket for who cannot, or should not, show a token there."""

from typing import Any

from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.access.models import ApiToken, Pair, Scope
from apps.web.api.described import READING, answers
from apps.web.api.views import Door
from apps.web.gateway import tickets
from apps.web.gateway.grants import Credential, Paired, Session, Token


class TicketOut(serializers.Serializer[Any]):
    """A ticket, shown once."""

    ticket = serializers.CharField(help_text='The first message on the socket is {"type": "auth", "ticket": ...}.')
    seconds = serializers.IntegerField(help_text="For how long it opens one socket.")


@method_decorator(never_cache, name="dispatch")
class Tickets(Door):
    """Get a ticket."""

    scope = Scope.READ
    serializer_class = TicketOut

    @extend_schema(
        operation_id="tickets_create",
        summary="Get a one-time ticket for the WebSocket",
        request=None,
        responses=answers({201: TicketOut}, *READING),
    )
    def post(self, request: Request) -> Response:
        """Give a ticket that opens one socket within 30 seconds, with the rights of who asks; 503 without Redis.

        The socket ends when what it was asked with ends: the token is revoked, the person signs out.
        """
        given = {"ticket": tickets.give(_credential(request)), "seconds": tickets.SECONDS}
        return Response(TicketOut(given).data, status=201)


def _credential(request: Request) -> Credential:
    if isinstance(request.auth, ApiToken):
        return Token(request.auth.digest)
    if isinstance(request.auth, Pair):
        return Paired(request.auth.pk)
    return Session(request._request.session.session_key or "")
