"""WebSocket frames of RFC 6455, server side: the handshake key, encoding, and an incremental decoder."""

import base64
import enum
import hashlib
import struct
from collections.abc import Iterator

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # fixed by RFC 6455, section 1.3
MAX_MESSAGE = 1 << 20  # bytes a client may send as one message


class Op(enum.IntEnum):
    """The frame types of RFC 6455, section 5.2."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class ProtocolError(ValueError):
    """The client broke the protocol; `code` is the close code that says how."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept value that answers the client's Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode("ascii", "replace") + GUID).digest()).decode()  # noqa: S324 - RFC 6455 asks for SHA-1


def encode(op: Op, payload: bytes) -> bytes:
    """One final, unmasked frame."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x80 | op, size) + payload
    if size < 65_536:
        return struct.pack("!BBH", 0x80 | op, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | op, 127, size) + payload


_pack_medium = struct.Struct("!BBH").pack


def text(payload: bytes) -> bytes:
    """One final text frame, the fast path of the feed."""
    size = len(payload)
    if 126 <= size < 65_536:
        return _pack_medium(0x81, 126, size) + payload
    return encode(Op.TEXT, payload)


def close(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut to the 123 bytes that fit."""
    return encode(Op.CLOSE, struct.pack("!H", code) + reason.encode()[:123].decode(errors="ignore").encode())


def close_code(payload: bytes) -> int:
    """The code a close frame carries, or 1005 for none."""
    return int.from_bytes(payload[:2]) if len(payload) >= 2 else 1005


def unmask(mask: bytes, payload: bytes) -> bytes:
    """Undo the client's masking by one wide XOR."""
    size = len(payload)
    if not size:
        return payload
    pattern = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(pattern)).to_bytes(size)


class Decoder:
    """Turns bytes from a client into whole messages and control frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._op: Op | None = None
        self._held = 0

    def feed(self, chunk: bytes) -> Iterator[tuple[Op, bytes]]:
        """Yield each complete message in `chunk` and what came before; raise ProtocolError on a breach."""
        self._buffer += chunk
        while (frame := self._next_frame()) is not None:
            message = self._join(*frame)
            if message is not None:
                yield message

    def _next_frame(self) -> tuple[bool, Op, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        final, op = self._check_head(buffer[0], buffer[1])
        size, offset = buffer[1] & 0x7F, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(buffer) < 2 + width:
                return None
            size, offset = int.from_bytes(buffer[2 : 2 + width]), 2 + width
        if size > MAX_MESSAGE:
            raise ProtocolError(1009, "Message too big")
        end = offset + 4 + size
        if len(buffer) < end:
            return None
        payload = unmask(bytes(buffer[offset : offset + 4]), bytes(buffer[offset + 4 : end]))
        del buffer[:end]
        return final, op, payload

    @staticmethod
    def _check_head(first: int, second: int) -> tuple[bool, Op]:
        if first & 0x70:
            raise ProtocolError(1002, "reserved bits are set")
        if not second & 0x80:
            raise ProtocolError(1002, "client frames must be masked")
        try:
            op = Op(first & 0x0F)
        except ValueError:
            raise ProtocolError(1002, "unknown frame type") from None
        final = bool(first & 0x80)
        if op >= Op.CLOSE and (not final or (second & 0x7F) > 125):
            raise ProtocolError(1002, "control frames must be short and whole")
        return final, op

    def _join(self, final: bool, op: Op, payload: bytes) -> tuple[Op, bytes] | None:
        if op >= Op.CLOSE:
            return op, payload
        if (op is Op.CONTINUATION) == (self._op is None):
            raise ProtocolError(1002, "a continuation is out of place")
        if op is not Op.CONTINUATION:
            self._op = op
        self._parts.append(payload)
        self._held += len(payload)
        if self._held > MAX_MESSAGE:
            raise ProtocolError(1009, "Message too big")
        if not final:
            return None
        whole, kind = b"".join(self._parts), self._op
        self._parts, self._op, self._held = [], None, 0
        assert kind is not None
        return kind, whole
