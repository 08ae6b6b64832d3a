"""The gateway as an ASGI application: handshake, authentication, and the life of the process around it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from channels.sessions import CookieMiddleware
from django.conf import settings
from django.db import Error

from apps.domain.errors import Unavailable
from apps.web.gateway import connection, grants, messages, origin, tickets
from apps.web.gateway.connection import Connection, Gone, Receive, Send
from apps.web.gateway.grants import Credential, Rights, Session
from apps.web.gateway.hub import Hub
from apps.web.gateway.messages import BadMessage, Inbound
from apps.web.gateway.origin import Origin

AUTH_SECONDS = 5.0
STRANGERS = 100  # sockets that may be waiting for their token at a time
TRY_LATER = 1013
WANTED = 'the first message must be {"type": "auth", "token": "..."}, or with a "ticket"'
INVALID = "the token is wrong, expired or revoked"
USED = "the ticket is wrong, was used, or is older than 30 seconds; ask for another"
NO_DATABASE = "the database does not answer; try again later"
Scope = dict[str, Any]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Refusal(Exception):
    """The socket is not for this client: the code and the sentence it is closed with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Bearer(NamedTuple):
    """What a program showed in the header or in its first message: a token of either kind."""

    text: str


class Ticket(NamedTuple):
    """A one-time ticket, not yet taken."""

    text: str


Shown = Bearer | Ticket | Session


class Gateway:
    """One per process. `websocket` serves a socket, `lifespan` starts and stops the hub with the server."""

    def __init__(self, redis_url: str, *, at_the_end: Callable[[], Awaitable[None]] | None = None) -> None:
        self.hub = Hub(redis_url)
        self._at_the_end = at_the_end
        self.websocket: Application = CookieMiddleware(self._open)
        self._strangers = 0

    async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Follow the server's own start and stop."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.hub.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.hub.stop()
                if self._at_the_end is not None:
                    await self._at_the_end()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        await receive()  # websocket.connect
        verdict = _verdict(headers)
        if verdict is Origin.FOREIGN:
            await send({"type": "websocket.close", "code": 1008})  # before the accept: the handshake gets a 403
            return
        await send({"type": "websocket.accept"})
        address = (scope.get("client") or (None,))[0]
        try:
            await self._serve(_presented(headers, scope, verdict), address, receive, send)
        except Refusal as refusal:
            await connection.close(send, refusal.code, refusal.reason)
        except (Gone, OSError):
            return  # the client went away while it was being served

    async def _serve(self, shown: Shown | None, address: str | None, receive: Receive, send: Send) -> None:
        await self.hub.start()
        known = await self._know(shown, address) if shown else None
        if known is None and isinstance(shown, Bearer):
            raise Refusal(connection.UNAUTHENTICATED, INVALID)
        credential, rights = known or await self._ask(address, receive)
        client = Connection(self.hub, receive, send, credential, rights)
        try:
            self.hub.admit(client)
        except BadMessage as error:
            await send({"type": "websocket.send", "text": error.text()})
            raise Refusal(connection.FLOOD, "too many sockets") from None
        try:
            if not await self.hub.join(client):
                raise Refusal(TRY_LATER, NO_DATABASE)
            await client.serve()
        finally:
            self.hub.leave(client)

    async def _ask(self, address: str | None, receive: Receive) -> tuple[Credential, Rights]:
        """Wait for the token or ticket of a client that came without one. Raises Refusal."""
        if self._strangers >= STRANGERS:
            raise Refusal(TRY_LATER, "too many sockets wait for their token; try again later")
        self._strangers += 1
        try:
            async with asyncio.timeout(AUTH_SECONDS):
                return await self._introduced(await connection.next_text(receive), address)
        except TimeoutError:
            raise Refusal(connection.UNAUTHENTICATED, f"no token within {AUTH_SECONDS:.0f} seconds") from None
        finally:
            self._strangers -= 1

    async def _introduced(self, text: str | None, address: str | None) -> tuple[Credential, Rights]:
        try:
            message = messages.read(text)
        except BadMessage:
            raise Refusal(connection.UNAUTHENTICATED, WANTED) from None
        shown = _introduction(message)
        if shown is None:
            raise Refusal(connection.UNAUTHENTICATED, WANTED)
        known = await self._know(shown, address)
        if known is None:
            raise Refusal(connection.UNAUTHENTICATED, INVALID if isinstance(shown, Bearer) else USED)
        return known

    async def _know(self, shown: Shown, address: str | None) -> tuple[Credential, Rights] | None:
        """Return who shows this and what that person may see; None if it does not count. Raises Refusal."""
        try:
            return await self.hub.in_database(partial(_known, shown, address, datetime.now(UTC)))
        except Error:
            raise Refusal(TRY_LATER, NO_DATABASE) from None
        except Unavailable as error:
            raise Refusal(TRY_LATER, str(error)) from None


def _known(shown: Shown, address: str | None, now: datetime) -> tuple[Credential, Rights] | None:
    credential: Credential | None
    match shown:
        case Bearer(text):
            credential = grants.of_text(text, address, now)
        case Ticket(text):
            credential = tickets.take(text, address)
        case _:
            credential = shown
    rights = grants.rights(credential, now) if credential else None
    return (credential, rights) if credential and rights else None


def _introduction(message: Inbound) -> Shown | None:
    if message.type != "auth":
        return None
    if message.token:
        return Bearer(message.token)
    return Ticket(message.ticket) if message.ticket else None


def _verdict(headers: dict[str, str]) -> Origin:
    allowed, trusted = settings.ALLOWED_HOSTS, settings.CSRF_TRUSTED_ORIGINS
    return origin.judge(headers.get("origin"), headers.get("host", ""), allowed, trusted)


def _presented(headers: dict[str, str], scope: Scope, verdict: Origin) -> Shown | None:
    """Return what the handshake itself brought: a bearer token, or the session of one of our own pages."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return Bearer(token.strip())
    key = scope["cookies"].get(settings.SESSION_COOKIE_NAME)
    return Session(key) if key and verdict is Origin.OWN else None


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a socket at an address that has none."""
    await receive()
    await send({"type": "websocket.close", "code": 1008})
