"""A WebSocket client that hides nothing: it shows every frame, half frame, reset and silence as it came."""

import base64
import json
import os
import socket
import struct
import time
from typing import Any, Self

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Silence(TimeoutError):
    """Nothing came within the time allowed."""


class WireClient:
    """One connection; `upgrade=False` leaves it plain TCP."""

    def __init__(self, port: int, *, upgrade: bool = True, receive_buffer: int = 0) -> None:
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(5)
        self.sock.connect(("127.0.0.1", port))
        self.buffer = b""
        if upgrade:
            self.send_upgrade()
            head = self.read_head()
            assert head.startswith("HTTP/1.1 101 "), head

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send_upgrade(self, **headers: str) -> None:
        lines = {
            "Host": "loopback",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        head = "GET / HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        self.sock.sendall(head.encode() + b"\r\n")

    def read_head(self, timeout: float = 5.0) -> str:
        while b"\r\n\r\n" not in self.buffer:
            self._more(time.monotonic() + timeout)
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        return head.decode()

    # Frames

    def frame(self, timeout: float = 5.0) -> tuple[int, bytes]:
        """The next whole frame; Silence when none is complete in time, ConnectionError at the end of the stream."""
        deadline = time.monotonic() + timeout
        while (taken := self._take()) is None:
            self._more(deadline)
        return taken

    def _take(self) -> tuple[int, bytes] | None:
        data = self.buffer
        if len(data) < 2:
            return None
        size, offset = data[1] & 0x7F, 2
        if size == 126:
            size, offset = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, offset = int.from_bytes(data[2:10], "big"), 10
        if len(data) < offset + size or (offset > 2 and len(data) < offset):
            return None
        self.buffer = data[offset + size :]
        return data[0] & 0x0F, data[offset : offset + size]

    def _more(self, deadline: float) -> None:
        self.sock.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            chunk = self.sock.recv(1 << 20)
        except TimeoutError:
            raise Silence from None
        if not chunk:
            raise ConnectionAbortedError("the server ended the stream")
        self.buffer += chunk

    def silent_for(self, seconds: float) -> bool:
        """Whether not a single byte comes for so long."""
        assert not self.buffer
        self.sock.settimeout(seconds)
        try:
            self.buffer += self.sock.recv(1 << 20)
        except TimeoutError:
            return True
        return False

    # Messages

    def message(self, timeout: float = 5.0) -> Any:
        """The next text message as JSON."""
        op, payload = self.frame(timeout)
        assert op == TEXT, (op, payload)
        return json.loads(payload)

    def of_type(self, *types: str, count: int = 1, timeout: float = 5.0) -> list[Any]:
        """The next `count` messages of these types, others skipped."""
        deadline, found = time.monotonic() + timeout, []
        while len(found) < count:
            message = self.message(deadline - time.monotonic())
            if message["type"] in types:
                found.append(message)
        return found

    def send_frame(self, op: int, payload: bytes, *, first: int = 0x80, masked: bool = True) -> None:
        mask = os.urandom(4)
        size = len(payload)
        if size < 126:
            length = struct.pack("!B", size | (0x80 if masked else 0))
        elif size < 65536:
            length = struct.pack("!BH", 126 | (0x80 if masked else 0), size)
        else:
            length = struct.pack("!BQ", 127 | (0x80 if masked else 0), size)
        body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)) if masked else payload
        self.sock.sendall(bytes([first | op]) + length + (mask if masked else b"") + body)

    def send(self, message: object) -> None:
        self.send_frame(TEXT, json.dumps(message).encode())

    def subscribe(self, *channels: object, products: list[str] | None = None) -> Any:
        """Subscribe and return the acknowledgement."""
        self.send({"type": "subscribe", "product_ids": products or ["BTC-USD"], "channels": list(channels)})
        return self.of_type("subscriptions", "error")[0]

    def listen(self, *channels: str, products: list[str] | None = None) -> list[Any]:
        """Subscribe and swallow the acknowledgement and the old trade of each product and channel."""
        listed = products or ["BTC-USD"]
        self.subscribe(*channels, products=listed)
        snapshots = sum(channel in ("ticker", "matches", "ticker_batch") for channel in channels) * len(listed)
        return self.of_type("ticker", "last_match", count=snapshots)

    def close_frame(self, timeout: float = 5.0) -> tuple[int, str]:
        """Skip to the close frame and return its code and reason."""
        deadline = time.monotonic() + timeout
        while True:
            op, payload = self.frame(deadline - time.monotonic())
            if op == CLOSE:
                return int.from_bytes(payload[:2], "big"), payload[2:].decode()


def push(exchange, *prices, symbol="BTC-USD"):
    return exchange.push_many(symbol, list(prices))


def ids(client, count):
    return [m["trade_id"] for m in client.of_type("ticker", count=count)]


def unsent(exchange, product="BTC-USD"):
    return exchange.journal()["products"][product]["unsent"]
