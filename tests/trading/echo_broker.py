"""A broker on the wire that says what it was asked, headers and all: the worst a venue can do with a secret."""

import contextlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from apps.domain.orders import Execution, OrderKind, Report, Ticket, TimeInForce
from apps.domain.plugins import PluginError
from apps.domain.states import OrderStatus
from apps.domain.strategies.parameters import choice, parameter, switch
from apps.trading.brokers import registry
from apps.trading.brokers.base import (
    Abilities,
    Access,
    Broker,
    BrokerBusy,
    BrokerRefused,
    BrokerUnclear,
    Holding,
    Rights,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoOptions:
    """What one may choose there."""

    speed: int = parameter(1, "How fast.", lowest=1, highest=9)
    loud: bool = switch(False, "Whether it shouts.")
    place: str = choice("inland", "Which of its houses.", options=("inland", "abroad"))


class EchoBroker(Broker):
    """Sends its key and secret as headers with every request."""

    name = "echo"
    abilities = Abilities(kinds=frozenset(OrderKind), tifs=frozenset(TimeInForce), shorts=True)
    options = EchoOptions
    sandboxes = ("https://sandbox.echo.example",)

    def _get(self, path: str) -> Any:
        headers = {"X-Key": self.access.key, "X-Secret": self.access.secret.replace("\n", "\\n")}
        request = urllib.request.Request(self.access.address + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = f"{path}: {error.code} {error.read().decode()} {self.access.passphrase}"
            if error.code == 429:
                raise BrokerBusy(text, after=0.1) from error
            raise (BrokerUnclear if error.code >= 500 else BrokerRefused)(text) from error
        except urllib.error.URLError as error:
            raise BrokerBusy(f"{self.access!r} {error.reason}") from error

    def place(self, ticket: Ticket) -> Report:
        said = self._get("/place")
        return Report(
            client_id=ticket.client_id,
            venue_id="1",
            status=OrderStatus.REJECTED,
            filled=ticket.quantity * 0,
            reason=said["reason"],
        )

    def cancel(self, client_id: str, venue_id: str) -> Report:
        raise BrokerUnclear(str(self._get("/cancel")))

    def find(self, client_id: str, venue_id: str = "") -> Report | None:
        return None

    def working(self) -> list[Report]:
        return []

    def executions(self, since: datetime) -> list[tuple[str, Execution]]:
        return []

    def positions(self) -> list[Holding] | None:
        return None

    def balances(self) -> list[Holding]:
        return []

    def clock(self) -> datetime:
        return datetime.now(UTC)

    def rights(self) -> Rights:
        said = self._get("/rights")
        return Rights(trade=said["trade"], withdraw=said["withdraw"])


class _Away(Sequence[str]):
    """Words that nobody can name, for what knows them is not installed."""

    def __getitem__(self, place: Any) -> Any:
        raise PluginError("its library is not installed")

    def __len__(self) -> int:
        return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryOptions:
    """Options that need a library."""

    exchange: str = field(default="x", metadata={"help": "Which.", "options": _Away(), "title": "Exchange"})


class LibraryBroker(EchoBroker):
    """A broker whose library is not installed."""

    name = "library"
    options = LibraryOptions


class Venue:
    """A venue on loopback; `status` 200 answers with `rights`, others echo the request's headers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 200
        self.rights: dict[str, bool | None] = {"trade": True, "withdraw": False}
        self.asked: list[dict[str, str]] = []


@contextlib.contextmanager
def venue() -> Iterator[Venue]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append({"path": self.path, **dict(self.headers)})
            headers = {name: value for name, value in self.headers.items() if name.startswith(("X-", "APCA-"))}
            plain = {**made.rights, "reason": f"refused, you said {headers}"}
            body = json.dumps(plain if made.status == 200 else {"headers": headers}).encode()
            self.send_response(made.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Venue(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join(10)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the site know the broker for a test."""
    registry.names()
    for broker in (EchoBroker, LibraryBroker):
        monkeypatch.setitem(vars(registry)["_found"], broker.name, broker)


def access(address: str, key: str, secret: str) -> Access:
    return Access(address=address, key=key, secret=secret)
