"""A stranger's exchange that speaks Coinbase's dialect with gaps: every habit is a switch."""

import contextlib
import json
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from tests.market.venue import iso


@dataclass
class Habits:
    """What this exchange does differently; switched while it runs."""

    sequence: bool = True
    last_trade_id: bool = True
    sizes: bool = True
    heartbeats: bool = True
    closes_after: float = 0.0  # seconds a connection lives; 0 for as long as the client likes
    refuses: str = "error"  # unknown products: "error" for the whole message, "silence" for that product
    products_page: bool = True
    rest: bool = True
    every: float = 0.25  # seconds between two tickers of a product


@dataclass
class Foreign:
    """The exchange: prices by product, the present connections, what was asked."""

    prices: dict[str, str]
    habits: Habits = field(default_factory=Habits)
    trade_id: int = 7000
    connections: int = 0
    asked: list[str] = field(default_factory=list)
    ws_port: int = 0
    rest_port: int = 0

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.ws_port}"

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self.rest_port}"

    # -- the socket --------------------------------------------------------------------------------------------------

    def talk(self, connection: ServerConnection) -> None:
        self.connections += 1
        subscribed: set[str] = set()
        began = time.monotonic()
        with contextlib.suppress(ConnectionClosed):
            while time.monotonic() - began < (self.habits.closes_after or 3600):
                try:
                    self._obey(connection, json.loads(connection.recv(self.habits.every)), subscribed)
                except TimeoutError:
                    self._tell(connection, subscribed)

    def _obey(self, connection: ServerConnection, message: dict[str, Any], subscribed: set[str]) -> None:
        wanted = set(message["product_ids"])
        if message["type"] == "unsubscribe":
            subscribed -= wanted
        elif wanted - set(self.prices) and self.habits.refuses == "error":
            reason = f"{min(wanted - set(self.prices))} is not a valid product"
            _send(connection, {"type": "error", "message": "Failed to subscribe", "reason": reason})
            return
        else:
            subscribed |= wanted & set(self.prices)
        names = [name for name in message["channels"] if name != "heartbeat" or self.habits.heartbeats]
        channels = [{"name": name, "product_ids": sorted(subscribed)} for name in names]
        _send(connection, {"type": "subscriptions", "channels": channels})
        self._tell(connection, subscribed)

    def _tell(self, connection: ServerConnection, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self.trade_id += 1
            _send(connection, self._ticker(symbol))
            if self.habits.heartbeats:
                beat = {"type": "heartbeat", "product_id": symbol, "time": iso(time.time()), "sequence": 5}
                _send(connection, beat | ({"last_trade_id": self.trade_id} if self.habits.last_trade_id else {}))

    def _ticker(self, symbol: str) -> dict[str, Any]:
        price = self.prices[symbol]
        message = {
            "type": "ticker",
            "product_id": symbol,
            "price": price,
            "best_bid": price,
            "best_ask": f"{float(price) + 0.01:.2f}",
            "side": "buy",
            "time": iso(time.time()),
            "trade_id": self.trade_id,
            "last_size": "0.5",
        }
        if self.habits.sequence:
            message["sequence"] = self.trade_id * 3
        if self.habits.sizes:
            message |= {"best_bid_size": "1.0", "best_ask_size": "1.0"}
        return message

    # -- the questions -----------------------------------------------------------------------------------------------

    def answer(self, path: str) -> object | None:
        self.asked.append(path)
        if not self.habits.rest:
            return None
        symbol = path.split("/")[2] if path.count("/") > 1 else ""
        if path == "/products" and self.habits.products_page:
            return [self._listing(symbol) for symbol in self.prices]
        if path.endswith("/ticker") and symbol in self.prices:
            ticker = self._ticker(symbol)
            return {key: ticker[key] for key in ("price", "trade_id", "time")} | {"size": "0.5", "bid": "", "ask": ""}
        return [] if path.endswith("/trades") else None

    def _listing(self, symbol: str) -> dict[str, Any]:
        base, _, quote = symbol.partition("-")
        return {
            "id": symbol,
            "base_currency": base,
            "quote_currency": quote,
            "quote_increment": "0.01",
            "base_increment": "0.0001",
            "status": "online",
        }


def _send(connection: ServerConnection, message: dict[str, Any]) -> None:
    connection.send(json.dumps(message))


@contextlib.contextmanager
def running(foreign: Foreign) -> Iterator[Foreign]:
    """Open the exchange on its ports, free ones where they are 0."""
    with _socket(foreign) as server, _questions(foreign) as web:
        foreign.ws_port, foreign.rest_port = server.socket.getsockname()[1], web.server_address[1]
        threads = [threading.Thread(target=server.serve_forever), threading.Thread(target=web.serve_forever)]
        for thread in threads:
            thread.start()
        try:
            yield foreign
        finally:
            server.shutdown()
            web.shutdown()
            for thread in threads:
                thread.join()


def _socket(foreign: Foreign) -> Server:
    return serve(foreign.talk, "127.0.0.1", foreign.ws_port, ping_interval=None, compression=None)


def _questions(foreign: Foreign) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = foreign.answer(self.path.partition("?")[0])
            body = json.dumps({"message": "NotFound"} if found is None else found).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    ThreadingHTTPServer.daemon_threads = True
    return ThreadingHTTPServer(("127.0.0.1", foreign.rest_port), Handler)
