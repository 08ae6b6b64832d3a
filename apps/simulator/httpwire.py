"""HTTP/1.1 as far as the exchange needs it: requests out of a byte buffer, answers into bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

MAX_HEAD = 32_768
MAX_BODY = 1 << 20
PHRASES = {int(status): status.phrase for status in HTTPStatus}
METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))


class BadRequest(ValueError):
    """A request that is not HTTP as we read it; `status` is the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; header names are lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""
    target: str = ""  # path and query as they were sent

    def every(self, name: str) -> list[str]:
        """All values of a query parameter that may be repeated."""
        return [value for key, value in parse_qsl(urlsplit(self.target).query) if key == name]

    @property
    def upgrades(self) -> bool:
        """Whether this asks for a WebSocket."""
        return self.headers.get("upgrade", "").lower() == "websocket"

    @property
    def keeps_alive(self) -> bool:
        return self.headers.get("connection", "").lower() != "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer; the body goes out as JSON unless it is bytes already. Faults may hold it back or cut it off."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0  # seconds until it is sent
    is_reset: bool = False  # a TCP reset in its place

    def encode(self, *, keep_alive: bool = True, head_only: bool = False) -> bytes:
        """The answer as bytes, with length and connection headers."""
        payload = self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)
        phrase = PHRASES.get(self.status, "Unknown")
        kind = "text/html" if isinstance(self.body, bytes) else "application/json; charset=utf-8"
        lines = [
            f"HTTP/1.1 {self.status} {phrase}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(payload)}",
            f"Connection: {'keep-alive' if keep_alive else 'close'}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head_only else payload)


def take(buffer: bytearray) -> Request | None:
    """Cut one whole request off the front of `buffer`, or return None when more bytes are needed; raises BadRequest."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > MAX_HEAD:
            raise BadRequest(431, "the request's head is too large")
        return None
    lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
    method, target = _request_line(lines[0])
    headers = _headers(lines[1:])
    size = _body_size(headers)
    if len(buffer) < end + 4 + size:
        return None
    body = bytes(buffer[end + 4 : end + 4 + size])
    del buffer[: end + 4 + size]
    try:
        parts = urlsplit(target)
    except ValueError:
        raise BadRequest(400, "the request target is broken") from None
    return Request(
        method=method, path=unquote(parts.path), query=dict(parse_qsl(parts.query)), headers=headers, body=body,
        target=target,
    )  # fmt: skip


def _request_line(line: str) -> tuple[str, str]:
    words = line.split(" ")
    if len(words) != 3 or words[0] not in METHODS or not words[2].startswith("HTTP/1."):
        raise BadRequest(400, "not an HTTP/1.1 request")
    if not words[1].startswith("/"):
        raise BadRequest(400, "the request target must start with /")
    return words[0], words[1]


def _headers(lines: list[str]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest(400, "a header line is broken")
        headers[name.lower()] = value.strip()
    return headers


def _body_size(headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise BadRequest(501, "chunked bodies are not supported")
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(400, "Content-Length is not a number")
    if len(text) > 9 or int(text) > MAX_BODY:
        raise BadRequest(413, "the body is too large")
    return int(text)
