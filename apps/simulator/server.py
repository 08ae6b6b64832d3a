"""One TCP port for both doors: HTTP requests are answered, and `GET /` with `Upgrade: websocket` becomes a session."""

import asyncio
import socket
import struct
from collections.abc import Callable

from apps.simulator import control, framing, httpwire, rest
from apps.simulator.httpwire import Request, Response
from apps.simulator.private import door
from apps.simulator.session import Session
from apps.simulator.venue import Venue

IDLE_KEPT = 60.0  # seconds an HTTP connection may be idle
PUBLIC_RATE, PUBLIC_BURST = 10.0, 15.0  # requests per second and address on the public REST API


class Bucket:
    """A lazy token bucket for one address."""

    def __init__(self, now: float) -> None:
        self._tokens, self._at = PUBLIC_BURST, now

    def take(self, now: float) -> bool:
        """Use one token if there is one."""
        self._tokens = min(PUBLIC_BURST, self._tokens + (now - self._at) * PUBLIC_RATE)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class FrontDoor:
    """Answers HTTP requests, with the REST faults in front."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._buckets: dict[str, Bucket] = {}

    def answer(self, request: Request, address: str) -> Response | None:
        """The answer, or None for the fault that leaves a request unanswered."""
        response = rest.answer(control.ROUTES, self._venue, request)
        if response is not None:
            return response
        switches, now = self._venue.switches, self._venue.elapsed()
        if switches.rest_silences:
            switches.rest_silences -= 1
            return None
        if now < switches.rest_limited_until or not self._within_limits(address, now):
            return Response(status=429, body={"message": "Public rate limit exceeded"}, headers={"Retry-After": "1"})
        if switches.rest_statuses:
            return Response(status=switches.rest_statuses.pop(0), body=b"<html><body>out of order</body></html>")
        found = door.route(request)
        if found is not None:
            return door.answer(found, self._venue, request)
        return rest.answer(rest.ROUTES, self._venue, request) or rest.NOT_FOUND

    def _within_limits(self, address: str, now: float) -> bool:
        if not self._venue.config.public_limits:
            return True
        return self._buckets.setdefault(address, Bucket(now)).take(now)


class Connection(asyncio.Protocol):
    """One TCP connection, HTTP first and perhaps WebSocket later."""

    def __init__(self, venue: Venue, door: FrontDoor, connections: set["Connection"]) -> None:
        self._venue = venue
        self._door = door
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._silenced = False
        self._held = False  # an answer waits for its time; requests behind it wait too
        self._idle: asyncio.TimerHandle | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)
        self._restart_idle_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._stop_idle_clock()
        if self._session is not None:
            if self._session.cut:
                self._venue.journal.cuts.append(self._session.cut)
            self._venue.hub.leave(self._session)

    def data_received(self, data: bytes) -> None:
        if self._session is not None:
            self._session.receive(data)
        elif not self._silenced:
            self._buffer += data
            self._read_requests()

    def pause_writing(self) -> None:
        if self._session is not None:
            self._venue.hub.pause(self._session)

    def resume_writing(self) -> None:
        if self._session is not None:
            self._venue.hub.resume(self._session)

    # HTTP

    def _read_requests(self) -> None:
        self._restart_idle_clock()
        try:
            while self._session is None and not self._held and (request := httpwire.take(self._buffer)) is not None:
                self._answer(request)
        except httpwire.BadRequest as refused:
            self._write(Response(status=refused.status, body={"message": str(refused)}), keep_alive=False)

    def _answer(self, request: Request) -> None:
        if request.upgrades:
            self._upgrade(request)
            return
        assert self._transport is not None
        address = self._transport.get_extra_info("peername")[0]
        response = self._door.answer(request, address)
        if response is None:
            self._go_silent()
        elif response.is_reset:
            self._reset()
        elif response.delay:
            self._held = True
            self._loop.call_later(response.delay, self._write_held, response, request)
        else:
            self._write(response, keep_alive=request.keeps_alive, head_only=request.method == "HEAD")

    def _write_held(self, response: Response, request: Request) -> None:
        assert self._transport is not None
        self._held = False
        if not self._transport.is_closing():
            self._write(response, keep_alive=request.keeps_alive, head_only=request.method == "HEAD")
            self._read_requests()

    def _reset(self) -> None:
        assert self._transport is not None
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _write(self, response: Response, *, keep_alive: bool, head_only: bool = False) -> None:
        assert self._transport is not None
        self._transport.write(response.encode(keep_alive=keep_alive, head_only=head_only))
        if not keep_alive:
            self._transport.close()

    def _go_silent(self) -> None:
        self._silenced = True
        self._stop_idle_clock()

    def _restart_idle_clock(self) -> None:
        assert self._transport is not None
        self._stop_idle_clock()
        self._idle = self._loop.call_later(IDLE_KEPT, self._transport.close)

    def _stop_idle_clock(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    # WebSocket

    def _upgrade(self, request: Request) -> None:
        switches = self._venue.switches
        if switches.unanswered_upgrades:
            switches.unanswered_upgrades -= 1
            self._go_silent()
        elif switches.refused_upgrades:
            status = switches.refused_upgrades.pop(0)
            self._write(Response(status=status, body={"message": "not now"}), keep_alive=False)
        elif (refusal := _refusal(request)) is not None:
            self._write(refusal, keep_alive=False)
        else:
            self._accept(request)

    def _accept(self, request: Request) -> None:
        assert self._transport is not None
        self._stop_idle_clock()
        key = framing.accept_key(request.headers["sec-websocket-key"])
        self._transport.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {key}\r\n\r\n".encode()
        )
        self._transport.set_write_buffer_limits(high=1 << 20, low=1 << 18)
        self._session = Session(self._transport, self._venue, self._venue.elapsed, self._loop.call_later)
        self._venue.journal.accepted += 1
        self._venue.hub.join(self._session)
        if self._buffer:
            early, self._buffer = bytes(self._buffer), bytearray()
            self._session.receive(early)

    # The end

    def finish(self) -> None:
        """Say goodbye; the socket follows at once."""
        if self._session is not None:
            self._session.close(1001, "the simulator stops")
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End now, whatever is unsent."""
        if self._transport is not None:
            self._transport.abort()


def _refusal(request: Request) -> Response | None:
    if request.method != "GET" or request.path != "/":
        return rest.NOT_FOUND
    if request.headers.get("sec-websocket-version") != "13":
        return Response(
            status=426, body={"message": "WebSocket version 13 is needed"}, headers={"Sec-WebSocket-Version": "13"}
        )
    if not request.headers.get("sec-websocket-key"):
        return Response(status=400, body={"message": "Sec-WebSocket-Key is missing"})
    return None


def factory(venue: Venue, connections: set[Connection]) -> Callable[[], Connection]:
    """What asyncio calls for each new connection."""
    door = FrontDoor(venue)
    return lambda: Connection(venue, door, connections)
