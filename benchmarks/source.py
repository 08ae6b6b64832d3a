"""A venue as a process: speaks the ticker channel on loopback, as fast as it can or at a steady pace.

Controlled by JSON lines on standard input, answers by JSON lines on standard output; ends with its standard input.
  {"blast": COUNT, "products": [...]}       from now on every new subscriber gets COUNT tickers at once, made
                                            beforehand, with one heartbeat before and one after them
  {"ready": true}                           answers whether anybody has subscribed
  {"forget": true}                          forgets how long floods took so far
  {"flooded": true}                         answers how long the next flood took to be received to its end
  {"play": [[product, price], ...], "rate": R}     the newest subscriber gets these, R per second; answers when done
"""

import base64
import hashlib
import json
import queue
import socket
import struct
import sys
import threading
import time
from collections.abc import Sequence

FIRST_TRADE = 900_000_000
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SLICE = 1 << 18
PING, PONG = 0x89, 0x8A
TICKER = (
    '{"type":"ticker","sequence":%d,"product_id":"%s","price":"%s","open_24h":"1001.30000000","volume_24h":"15328.12345678",'
    '"low_24h":"961.20000000","high_24h":"1062.10000000","volume_30d":"512345.12345678","best_bid":"%s","best_bid_size":"12.18221481",'
    '"best_ask":"%s","best_ask_size":"10.00003770","side":"buy","time":"%s","trade_id":%d,"last_size":"0.00410000"}'
)


def frame(text: str) -> bytes:
    """Wrap a text in one unmasked WebSocket frame."""
    data = text.encode()
    head = struct.pack("!BB", 0x81, len(data)) if len(data) < 126 else struct.pack("!BBH", 0x81, 126, len(data))
    return head + data


def ticker(product: str, price: str, trade_id: int, at: str, spread: tuple[str, str]) -> bytes:
    """Write one ticker as a frame; about as long as the real venue's."""
    number = FIRST_TRADE + trade_id
    return frame(TICKER % (number * 70, product, price, *spread, at, number))


def now() -> str:
    """Return the time as the venue writes it."""
    stamp = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(stamp))}.{int(stamp % 1 * 1e6):06d}Z"


class Venue:
    """Serves one subscriber at a time is all a measurement needs; several may be connected."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.newest: socket.socket | None = None
        self.flood = b""
        self.floods: queue.Queue[float] = queue.Queue()
        self.trade_ids: dict[str, int] = {}

    def accept(self) -> None:
        """Take subscribers for ever."""
        while True:
            link, _ = self.listener.accept()
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def blast(self, count: int, products: Sequence[str]) -> int:
        """Make the tickers of a flood: prices walk a few cents, numbers rise by one per product."""
        at, pieces = now(), []
        for index in range(count):
            product, cents = products[index % len(products)], 100_000 + index * 7 % 37
            spread = (f"{cents / 100 - 0.01:.2f}", f"{cents / 100 + 0.01:.2f}")
            pieces.append(ticker(product, f"{cents / 100:.2f}", index // len(products) + 1, at, spread))
        beat = frame(json.dumps({"type": "heartbeat", "product_id": products[0], "last_trade_id": 0, "time": at}))
        self.flood = b"".join((beat, *pieces, beat))
        return len(self.flood) // count

    def play(self, ticks: Sequence[tuple[str, str]], rate: float) -> dict[str, float]:
        """Send the ticks one by one, evenly; report by how much the latest one was late, in milliseconds."""
        assert self.newest is not None
        began, latest = time.perf_counter(), 0.0
        for index, (product, price) in enumerate(ticks):
            due = began + index / rate
            while (left := due - time.perf_counter()) > 0:
                time.sleep(left)
            latest = max(latest, -left)
            self.trade_ids[product] = trade_id = self.trade_ids.get(product, 0) + 1
            self.newest.sendall(ticker(product, price, trade_id, now(), (price, price)))
        return {"seconds": time.perf_counter() - began, "latest_ms": latest * 1e3}

    def _pour(self, link: socket.socket) -> None:
        began = time.perf_counter()
        for start in range(0, len(self.flood), SLICE):
            link.sendall(self.flood[start : start + SLICE])
        link.sendall(bytes((PING, 0)))
        _pong(link)
        self.floods.put(time.perf_counter() - began)

    def _serve(self, link: socket.socket) -> None:
        try:
            _shake(link)
            products = json.loads(_text(link))["product_ids"]
            channels = [{"name": name, "product_ids": products} for name in ("ticker", "heartbeat")]
            link.sendall(frame(json.dumps({"type": "subscriptions", "channels": channels})))
            self.newest = link
            if self.flood:
                self._pour(link)
            while link.recv(4096):
                pass
        except (OSError, EOFError):
            link.close()


def _pong(link: socket.socket) -> None:
    """Wait for the answer to a ping: whoever answers has read all that came before it."""
    while _exactly(link, 1)[0] != PONG:
        _payload(link)
    _payload(link)


def _shake(link: socket.socket) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        request += _some(link, 4096)
    key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    link.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept
        + b"\r\n\r\n"
    )


def _text(link: socket.socket) -> bytes:
    """Read one masked frame."""
    _exactly(link, 1)
    return _payload(link)


def _payload(link: socket.socket) -> bytes:
    length = _exactly(link, 1)[0] & 0x7F
    if length == 126:
        length = struct.unpack("!H", _exactly(link, 2))[0]
    mask = _exactly(link, 4)
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(_exactly(link, length)))


def _exactly(link: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += _some(link, count - len(data))
    return data


def _some(link: socket.socket, count: int) -> bytes:
    piece = link.recv(count)
    if not piece:
        raise EOFError
    return piece


def main() -> None:
    """Serve until standard input ends."""
    venue = Venue()
    threading.Thread(target=venue.accept, daemon=True).start()
    answer({"port": venue.listener.getsockname()[1]})
    for line in sys.stdin:
        command = json.loads(line)
        if "blast" in command:
            answer({"bytes": venue.blast(command["blast"], command["products"])})
        elif "ready" in command:
            answer({"ready": venue.newest is not None})
        elif "flooded" in command:
            answer({"seconds": venue.floods.get(timeout=120)})
        elif "forget" in command:
            venue.floods = queue.Queue()
            answer({})
        else:
            answer(venue.play(command["play"], command["rate"]))


def answer(facts: dict[str, float]) -> None:
    """Write one line of JSON."""
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
