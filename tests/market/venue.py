"""A venue on loopback that misbehaves to order: raw bytes over threads, no knowledge of the product's code."""

import base64
import hashlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def frame(payload: bytes | str, opcode: int = TEXT, *, fin: bool = True) -> bytes:
    data = payload.encode() if isinstance(payload, str) else payload
    head = bytes([(0x80 if fin else 0) | opcode])
    if len(data) < 126:
        return head + bytes([len(data)]) + data
    if len(data) < 1 << 16:
        return head + b"\x7e" + struct.pack("!H", len(data)) + data
    return head + b"\x7f" + struct.pack("!Q", len(data)) + data


def close_frame(code: int, reason: str = "") -> bytes:
    return frame(struct.pack("!H", code) + reason.encode(), CLOSE)


def ticker(product: str, trade_id: int, price: str = "100.00", **changes: object) -> dict[str, object]:
    stamp = time.time()
    message: dict[str, object] = {
        "type": "ticker",
        "sequence": trade_id * 7,
        "product_id": product,
        "price": price,
        "open_24h": "14.6647",
        "volume_24h": "94381.28000000",
        "low_24h": "14.3691",
        "high_24h": "16.55",
        "volume_30d": "2295579.57000000",
        "best_bid": "99.99",
        "best_bid_size": "0.5",
        "best_ask": "100.01",
        "best_ask_size": "0.5",
        "side": "buy",
        "time": iso(stamp),
        "trade_id": trade_id,
        "last_size": "0.04",
    }
    return {**message, **changes}


def iso(stamp: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stamp))
    return f"{whole}.{int(stamp % 1 * 1e6):06d}Z"


def heartbeat(product: str, last_trade_id: int) -> dict[str, object]:
    return {
        "type": "heartbeat",
        "sequence": 1,
        "last_trade_id": last_trade_id,
        "product_id": product,
        "time": iso(time.time()),
    }


class Peer:
    """One accepted connection, after the upgrade."""

    def __init__(self, connection: socket.socket, venue: "Venue", number: int) -> None:
        self.connection = connection
        self.venue = venue
        self.number = number
        self.received: list[tuple[int, bytes]] = []
        self.products: set[str] = set()

    def send(self, *messages: object) -> None:
        for message in messages:
            self.raw(frame(message if isinstance(message, str | bytes) else json.dumps(message, separators=(",", ":"))))

    def raw(self, data: bytes) -> None:
        self.connection.sendall(data)

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def receive(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame of the client; EOFError when it left."""
        first, second = self._exactly(2)
        length = second & 0x7F
        if length == 126:
            length = struct.unpack("!H", self._exactly(2))[0]
        elif length == 127:
            length = struct.unpack("!Q", self._exactly(8))[0]
        mask = self._exactly(4)
        body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(self._exactly(length)))
        item = (first & 0x0F, body)
        self.received.append(item)
        return item

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.connection.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def command(self) -> dict[str, object]:
        """Return the next JSON message of the client."""
        while True:
            opcode, body = self.receive()
            if opcode == TEXT:
                message = json.loads(body)
                self.venue.commands.append((self.number, message))
                self.venue.command_times.append(time.monotonic())
                return message

    def subscribe(self, *, ack: bool = True) -> dict[str, object]:
        """Wait for one subscribe message and acknowledge it."""
        message = self.command()
        self.products |= set(message["product_ids"])
        if ack:
            self.ack()
        return message

    def ack(self, products: set[str] | None = None) -> None:
        listed = sorted(self.products if products is None else products)
        channels = [{"name": name, "product_ids": listed} for name in ("ticker", "heartbeat")]
        self.send({"type": "subscriptions", "channels": channels})

    def hold(self) -> None:
        """Keep the connection and answer subscribe messages until the client or the venue ends."""
        while True:
            self.subscribe()


Script = Callable[[Peer], None]


class Venue:
    """Runs one script per connection: the n-th connection gets the n-th script, the last one serves all later ones."""

    def __init__(
        self,
        *scripts: Script,
        upgrade: Callable[[int, socket.socket], bool] | None = None,
        secure: ssl.SSLContext | None = None,
    ) -> None:
        self._scripts = scripts
        self._secure = secure
        self._upgrade = upgrade
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'wss' if secure else 'ws'}://127.0.0.1:{self.port}"
        self.dialled: list[float] = []
        self.commands: list[tuple[int, dict[str, object]]] = []
        self.command_times: list[float] = []
        self.failures: list[BaseException] = []
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.dialled.append(time.monotonic())
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection, len(self.dialled)), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        script = self._scripts[min(number, len(self._scripts)) - 1]
        try:
            if self._secure is not None:
                connection = self._secure.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            if self._upgrade is not None and not self._upgrade(number, connection):
                return
            _shake(connection)
            script(Peer(connection, self, number))
        except (OSError, EOFError, ValueError):
            pass  # the client left, or the venue closes
        except BaseException as error:
            self.failures.append(error)
            raise
        finally:
            connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            try:
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in [self._accepting, *self._threads]:
            thread.join(timeout=5)
            assert not thread.is_alive()
        assert not self.failures, self.failures


def _shake(connection: socket.socket) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(4096)
        if not piece:
            raise EOFError
        request += piece
    key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


@contextmanager
def running(
    *scripts: Script,
    upgrade: Callable[[int, socket.socket], bool] | None = None,
    secure: ssl.SSLContext | None = None,
) -> Iterator[Venue]:
    venue = Venue(*scripts, upgrade=upgrade, secure=secure)
    try:
        yield venue
    finally:
        venue.close()
