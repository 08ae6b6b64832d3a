"""A REST venue on loopback that answers to order."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

Answer = tuple[int, dict[str, str], bytes]
Respond = Callable[[str, dict[str, str], int], Answer | None]


def good(body: object) -> Answer:
    return 200, {}, json.dumps(body).encode()


class RestVenue:
    """Serves what `respond(path, query, n)` returns for the n-th request; None hangs up without a word."""

    def __init__(self, respond: Respond) -> None:
        self.asked: list[tuple[str, dict[str, str], float]] = []
        venue = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = dict(parse_qsl(parts.query))
                venue.asked.append((parts.path, query, time.monotonic()))
                answer = respond(parts.path, query, len(venue.asked))
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if "X-Drip" not in headers:
                    self.wfile.write(body)
                    return
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(float(headers["X-Drip"]))

            def log_message(self, *args: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None: ...

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(timeout=5)
        self._server.server_close()


@contextmanager
def answering(respond: Respond) -> Iterator[RestVenue]:
    venue = RestVenue(respond)
    try:
        yield venue
    finally:
        venue.close()


def trade(trade_id: int, price: str | None = None) -> dict[str, object]:
    return {
        "time": "2026-01-05T12:00:00.5Z",
        "trade_id": trade_id,
        "price": price or f"{100 + trade_id % 7}.00",
        "size": "0.5",
        "side": "sell",
    }


def trades_between(first: int, last: int, query: dict[str, str], *, lost: frozenset[int] = frozenset()) -> Answer:
    """Page like the venue: newest first, ids below `after`, at most `limit`."""
    after = min(int(query.get("after", last + 1)), last + 1)
    ids = [trade_id for trade_id in range(after - 1, first - 1, -1) if trade_id not in lost]
    return good([trade(trade_id) for trade_id in ids[: min(int(query.get("limit", 1000)), 1000)]])
