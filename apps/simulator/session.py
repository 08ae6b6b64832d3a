"""One client's WebSocket: what it subscribed to, what waits to be written, and how it can be made to misbehave."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from apps.simulator import framing, protocol, subscriptions
from apps.simulator.framing import Op

MESSAGES_PER_SECOND = 100
SUBSCRIBE_WITHIN = 5.0  # seconds
CLOSE_WITHIN = 1.0  # seconds a client has to answer our close frame

Later = Callable[[float, Callable[[], None]], object]


class Desk(Protocol):
    """What a session needs from the exchange it belongs to."""

    def lists(self) -> dict[str, Any]: ...
    def subscribed(self, session: "Session", wanted: subscriptions.Wanted) -> subscriptions.Wanted: ...
    def acknowledges(self) -> bool: ...
    def snapshot(self, session: "Session", wanted: subscriptions.Wanted) -> None: ...
    def reindex(self) -> None: ...


class Session:
    """The state of one upgraded connection. Lives on the event loop's thread only."""

    def __init__(self, transport: asyncio.Transport, desk: Desk, clock: Callable[[], float], later: Later) -> None:
        self.channels: dict[str, dict[str, None]] = {}
        self.cut = ""  # why the exchange ended this session, for the journal
        self._transport = transport
        self._desk = desk
        self._clock = clock
        self._later = later
        self._decoder = framing.Decoder()
        self._out: list[bytes] = []
        self._silent = False
        self._tear_next = False
        self._torn = b""
        self._unread = b""
        self._answers_pings = True
        self._closing = False
        self._second = 0.0
        self._count = 0
        later(SUBSCRIBE_WITHIN, self._check_subscribed)

    # Outgoing

    def send(self, frame: bytes) -> bool:
        """Queue a frame for the next flush; False when this session gets nothing at the moment."""
        if self._silent or self._closing:
            return False
        if self._tear_next:
            self._tear(frame)
            return False
        self._out.append(frame)
        return True

    def flush(self) -> int:
        """Write the queued frames at once and return how many bytes the socket has not taken yet."""
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()
        return self._transport.get_write_buffer_size()

    def say(self, payload: bytes) -> None:
        """Send one text message now."""
        self.send(framing.text(payload))
        self.flush()

    # Incoming

    def receive(self, chunk: bytes) -> None:
        """Act on bytes from the client."""
        if self._silent and not self._answers_pings:
            self._unread = (self._unread + chunk)[: framing.MAX_MESSAGE]
            return  # a hung server answers neither pings nor close frames; it reads them when it recovers
        try:
            for op, payload in self._decoder.feed(chunk):
                self._receive_frame(op, payload)
        except framing.ProtocolError as breach:
            self.close(breach.code, breach.reason)

    def _receive_frame(self, op: Op, payload: bytes) -> None:
        if op is Op.PING:
            self._write_now(framing.encode(Op.PONG, payload))
        elif op is Op.CLOSE:
            self._answer_close(payload)
        elif op in (Op.TEXT, Op.BINARY) and not self._closing:
            self._receive_message(payload)

    def _answer_close(self, payload: bytes) -> None:
        if not self._closing:
            code = framing.close_code(payload)
            self._write_now(framing.close(1000 if code == 1005 else code))
        self._transport.close()

    def _receive_message(self, payload: bytes) -> None:
        if not self._within_rate():
            self.fail("Rate limit exceeded", f"more than {MESSAGES_PER_SECOND} messages in a second", 1008)
            return
        try:
            request = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.say(protocol.error("Malformed JSON"))
            return
        try:
            self._change(request if isinstance(request, dict) else {})
        except subscriptions.RefusedRequest as refused:
            self.say(protocol.error(refused.message, refused.reason))

    def _within_rate(self) -> bool:
        now = self._clock()
        if now - self._second >= 1.0:
            self._second, self._count = now, 0
        self._count += 1
        return self._count <= MESSAGES_PER_SECOND

    def _change(self, request: dict[str, Any]) -> None:
        wanted = subscriptions.read(request, self._desk.lists())
        if request["type"] == "subscribe":
            wanted = self._desk.subscribed(self, wanted)
            self._add(wanted)
        else:
            self._remove(wanted)
        self._desk.reindex()
        if self._desk.acknowledges():
            self.say(protocol.subscriptions(self.channels))
        if request["type"] == "subscribe":
            self._desk.snapshot(self, wanted)
            self.flush()

    def _add(self, wanted: subscriptions.Wanted) -> None:
        for channel, products in wanted.items():
            self.channels.setdefault(channel, {}).update(dict.fromkeys(products))

    def _remove(self, wanted: subscriptions.Wanted) -> None:
        for channel, products in wanted.items():
            held = self.channels.get(channel, {})
            for product_id in products:
                held.pop(product_id, None)
            if not products or not held:
                self.channels.pop(channel, None)

    def _check_subscribed(self) -> None:
        if not self.channels and not self._closing:
            self.close(1008, "no subscribe message within 5 seconds")

    # Ways to end

    def fail(self, message: str, reason: str, code: int) -> None:
        """Say what is wrong, then close."""
        self.say(protocol.error(message, reason))
        self.close(code, reason)

    def close(self, code: int, reason: str = "", *, linger: float = CLOSE_WITHIN) -> None:
        """Send a close frame; the socket follows when the client answers, or after `linger` seconds."""
        if self._closing:
            return
        self._write_now(framing.close(code, reason))
        self._closing = True
        self._later(linger, self._transport.abort)

    def close_slowly(self, code: int, reason: str, seconds: float) -> None:
        """Send a close frame, then ignore the client's answer and end the socket only after `seconds`."""
        self._write_now(framing.close(code, reason))
        self._closing = self._silent = True
        self._answers_pings = False
        self._later(seconds, self._transport.close)

    def cut_slow(self) -> None:
        """End a session whose client does not read fast enough."""
        if not self._closing:
            self.cut = "ErrSlowConsume"
            self.fail("ErrSlowConsume", "client is not reading fast enough", 1008)

    def reset(self) -> None:
        """End the connection with a TCP RST: no close frame, unsent bytes are lost."""
        self._closing = True
        plain = self._transport.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    # Ways to misbehave

    def stall(self, *, answers_pings: bool) -> None:
        """Send no bytes any more; with `answers_pings` the protocol layer stays alive."""
        self.flush()
        self._silent, self._answers_pings = True, answers_pings

    def stall_in_next_frame(self) -> None:
        """Send the first half of the next frame, then nothing."""
        self._tear_next = True

    def recover(self) -> None:
        """Go on after a stall: what was held back of a torn frame comes first."""
        if self._closing:
            return
        torn, self._torn = self._torn, b""
        unread, self._unread = self._unread, b""
        self._silent = self._tear_next = False
        self._answers_pings = True
        if torn:
            self._write_now(torn)
        if unread:
            self.receive(unread)

    def _tear(self, frame: bytes) -> None:
        half = len(frame) // 2
        self._out.append(frame[:half])
        self._torn = frame[half:]
        self._tear_next, self._silent, self._answers_pings = False, True, False
        self.flush()

    def _write_now(self, frame: bytes) -> None:
        self.flush()
        if not self._torn and not self._transport.is_closing():
            self._transport.write(frame)
