"""One WebSocket connection: websocket-client for the protocol, and a shorter way for the frames that are all alike.

The library reads each frame with three small reads and several objects (6.7 us). Frames here are read in large chunks;
a complete, unfragmented text frame is cut out of the chunk directly, and every other frame is given to the library,
which reads from the same chunk.
"""

import errno
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

import websocket

from apps.market.feeds import dial

CHUNK = 1 << 16
_FINAL_TEXT = 0x81
_LENGTH_IN_TWO_BYTES = 126

Deliver = Callable[[bytes, int], None]


class Dropped(Exception):
    """The connection is gone. `reason` is one word for counters, `detail` a sentence for people.

    `retry_after` is what the venue asked for, in seconds; `is_policy` says that it does not want us now.
    """

    def __init__(self, reason: str, detail: str = "", *, is_policy: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.is_policy = is_policy
        self.retry_after = retry_after


class Wire:
    """One connection, opened once and never again. `receive` belongs to one thread; `send` and `cut` to any."""

    def __init__(self, url: str, *, clock_ns: Callable[[], int], max_bytes: int) -> None:
        self._url = url
        self._clock_ns = clock_ns
        self._max_bytes = max_bytes
        # Any: the library is half typed
        self._library: Any = websocket.WebSocket(skip_utf8_validation=True, sockopt=dial.socket_options())
        self._library.frame_buffer.recv = self._pull
        self._raw: socket.socket | None = None
        self._is_cut = False
        self._chunk = b""
        self._at = 0
        self._pulled = 0
        self.received_ns = 0
        self.is_reading = True  # waiting for the peer, not busy with what it sent

    def open(self, *, timeout: float, idle_timeout: float) -> None:
        """Connect and upgrade; reads then wait at most `idle_timeout` seconds. Raises Dropped."""
        address = dial.parse(self._url)
        try:
            own = None if dial.needs_proxy(address) else dial.open_socket(address, timeout, self._register)
            # redirect_limit: a redirect would lead the library to a socket that we cannot interrupt
            self._library.connect(self._url, timeout=timeout, socket=own, redirect_limit=0)
        except (OSError, websocket.WebSocketException, ValueError) as error:
            raise _dropped(error) from error
        self._register(self._library.sock)
        self._library.settimeout(idle_timeout)

    def _register(self, connection: socket.socket) -> None:
        self._raw = connection
        if self._is_cut:
            dial.cut(connection)

    def send(self, text: str) -> None:
        """Send one text message. Raises Dropped."""
        try:
            self._library.send(text)
        except (OSError, websocket.WebSocketException) as error:
            raise _dropped(error) from error

    def cut(self) -> None:
        """End the connection from any thread, in any phase; whoever waits on it gets Dropped."""
        self._is_cut = True
        if self._raw is not None:
            dial.cut(self._raw)

    def close(self) -> None:
        """Let go of the socket without waiting for the peer's farewell."""
        self.cut()
        self._library.shutdown()
        if self._raw is not None:
            self._raw.close()

    def wait(self) -> None:
        """Block until there is something to deliver. Raises Dropped."""
        if self._at == len(self._chunk):
            self._fill()

    def deliver(self, text: Deliver, binary: Deliver) -> None:
        """Hand on every complete message of the present chunk; an incomplete last one is waited for. Raises Dropped."""
        if not self._library.cont_frame.recving_frames:
            self._deliver_plain(text)
        if self._at < len(self._chunk):
            self._deliver_other(text, binary)

    def _deliver_plain(self, text: Deliver) -> None:
        chunk, at, end, received_ns = self._chunk, self._at, len(self._chunk), self.received_ns
        try:
            while end - at > 3 and chunk[at] == _FINAL_TEXT:
                length, start = chunk[at + 1], at + 2
                if length >= _LENGTH_IN_TWO_BYTES:
                    if length > _LENGTH_IN_TWO_BYTES:
                        break  # more than 64 KiB, or masked
                    length, start = chunk[at + 2] << 8 | chunk[at + 3], at + 4
                stop = start + length
                if stop > end:
                    break
                at = stop
                text(chunk[start:stop], received_ns)
        finally:
            self._at = at

    def _deliver_other(self, text: Deliver, binary: Deliver) -> None:
        self._pulled = 0
        try:
            opcode, frame = self._library.recv_data_frame(control_frame=True)
        except (OSError, websocket.WebSocketException) as error:
            raise _dropped(error) from error
        if opcode == websocket.ABNF.OPCODE_TEXT:
            text(frame.data, self.received_ns)
        elif opcode == websocket.ABNF.OPCODE_BINARY:
            binary(frame.data, self.received_ns)
        elif opcode == websocket.ABNF.OPCODE_CLOSE:
            raise _closed(frame.data)

    def _pull(self, wanted: int) -> bytes:
        """Give the library up to `wanted` bytes, from the chunk first."""
        if self._at == len(self._chunk):
            self._fill()
        start, self._at = self._at, min(self._at + wanted, len(self._chunk))
        self._pulled += self._at - start
        if self._pulled > self._max_bytes:
            raise websocket.WebSocketProtocolException(f"a message is larger than {self._max_bytes} bytes")
        return self._chunk[start : self._at]

    def _fill(self) -> None:
        self.is_reading = True
        try:
            self._chunk = websocket.recv(self._library.sock, CHUNK)
        except (OSError, websocket.WebSocketException) as error:
            raise _dropped(error) from error
        self.received_ns = self._clock_ns()
        self._at = 0
        self.is_reading = False


def _closed(payload: bytes) -> Dropped:
    if len(payload) < 2:
        return Dropped("closed", "the venue closed without a code")
    code = struct.unpack("!H", payload[:2])[0]
    words = payload[2:].decode("utf-8", "replace")
    return Dropped(f"closed_{code}", words, is_policy=code == websocket.STATUS_POLICY_VIOLATION)


def _dropped(error: Exception) -> Dropped:
    if isinstance(error, Dropped):
        return error
    if isinstance(error, websocket.WebSocketBadStatusException):
        return _refused_upgrade(error)
    return Dropped(_word_for(error), str(error))


def _refused_upgrade(error: websocket.WebSocketBadStatusException) -> Dropped:
    asked = str((error.resp_headers or {}).get("retry-after", ""))
    return Dropped(
        f"http_{error.status_code}",
        str(error.status_message or ""),
        is_policy=error.status_code in (403, 429),
        retry_after=float(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else 0.0,
    )


# The first family that fits names the loss; subclasses stand before what they derive from.
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (websocket.WebSocketTimeoutException, "timeout"),
    (websocket.WebSocketConnectionClosedException, "lost"),
    (websocket.WebSocketProtocolException, "protocol"),
    (websocket.WebSocketPayloadException, "protocol"),
    (websocket.WebSocketProxyException, "proxy"),
    (websocket.WebSocketAddressException, "dns"),
    (websocket.WebSocketException, "handshake"),
    (socket.gaierror, "dns"),
    (ssl.SSLError, "tls"),
    (TimeoutError, "timeout"),
    (ConnectionRefusedError, "refused"),
    (ConnectionResetError, "reset"),
    (BrokenPipeError, "lost"),
    (ValueError, "handshake"),
)


def _word_for(error: Exception) -> str:
    for family, word in _WORDS:
        if isinstance(error, family):
            return word
    number = error.errno if isinstance(error, OSError) else None
    return errno.errorcode.get(number, "os").lower() if number else "os"
