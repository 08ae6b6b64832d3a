"""What a broker is tried against: a venue on loopback whose prices and faults the test decides.

A broker joins the contract by one file: `tests/trading/brokers/worlds/NAME.py` (NAME as in the registry) with a
subclass of `World` that lists its venue's faults, `opened()`, a context manager that yields one, and
`DATABASE = "db"` or `"transactional_db"` where its venue needs the database. Venues that are the simulated exchange
inherit from `SimulatedWorld`.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from apps.domain.orders import OrderKind, Ticket, TimeInForce
from apps.simulator.exchange import SimExchange
from apps.trading.brokers.base import Access, Broker

T = TypeVar("T")
UNUSED_PORT = "http://127.0.0.1:9"  # the discard port: nobody listens


class Fault(StrEnum):
    """What a venue can be told to do to the next request or order; a world lists what its venue knows."""

    SILENT_AFTER = "silent_after"  # the order is taken, the answer never comes
    SILENT_BEFORE = "silent_before"  # nothing is taken, the answer never comes
    BROKEN_AFTER = "broken_after"  # the order is taken, the answer is a 500
    BROKEN_BEFORE = "broken_before"  # nothing is taken, the answer is a 500
    GARBLED_AFTER = "garbled_after"  # the order is taken, the answer is 200 and no JSON
    RESET_AFTER = "reset_after"  # the order is taken, the connection is reset
    LIMITED = "limited"  # 429 with Retry-After 1
    READ_BROKEN = "read_broken"  # the next question is answered with a 500
    REFUSED = "refused"  # the next order is refused
    PARTIAL = "partial"  # the next order fills by halves, one half per trade
    LATE_FILL = "late_fill"  # the next cancel is confirmed as queued, then the order fills
    FILL_AFTER_CANCEL = "fill_after_cancel"  # the next cancel is confirmed as done, then the order fills
    DUPLICATE = "duplicate"  # the next list of fills names each of them twice
    LOST = "lost"  # the next order is not found for half a second
    CLOCK = "clock"  # the venue's clock is ten minutes ahead
    AWAY = "away"  # nobody listens at the venue's address: `unreachable` gives the broker for it


class World(ABC):
    """One account at one venue, the market at 100 until the test moves it, and enough money and coins to trade.

    The instrument's grid is 0.01 for prices and at most 0.0001 for quantities; the account holds 100,000 of the quote
    currency and 10 of the base.
    """

    symbol: str = "BTC-USD"
    base: str = "BTC"
    quote: str = "USD"
    faults: frozenset[Fault] = frozenset()
    secrets: tuple[str, ...] = ()  # what must never be in a message

    @abstractmethod
    def broker(self) -> Broker:
        """Return a new broker of the account, as a process would after a restart; the world closes it."""

    @abstractmethod
    def trade(self, price: str) -> None:
        """Let the market trade at this price; bid and ask are a tick around it or on it."""

    @abstractmethod
    def count(self, client_id: str) -> int:
        """Return how many orders the venue itself has with this client id."""

    def fault(self, fault: Fault) -> None:
        """Let the venue have a fault once."""
        raise NotImplementedError(fault)

    def unreachable(self) -> Broker:
        """Return the broker at an address where nobody listens."""
        raise NotImplementedError


def having(*faults: Fault) -> Callable[[T], T]:
    """Ask only brokers whose venue has these faults; a test with an argument `fault` gets them one by one."""

    def marked(test: T) -> T:
        test.wanted_faults = frozenset(faults)  # type: ignore[attr-defined]
        return test

    return marked


class SimulatedWorld(World):
    """A broker against the simulated exchange."""

    faults = frozenset(Fault)
    _texts = {
        Fault.SILENT_AFTER: "order_timeout:after=1",
        Fault.SILENT_BEFORE: "order_timeout:after=0",
        Fault.BROKEN_AFTER: "order_status:status=500,after=1",
        Fault.BROKEN_BEFORE: "order_status:status=500,after=0",
        Fault.GARBLED_AFTER: "order_status:status=200,after=1",
        Fault.RESET_AFTER: "order_reset:after=1",
        Fault.LIMITED: "order_limit:retry_after=1,call=place",
        Fault.READ_BROKEN: "order_status:status=503,call=read",
        Fault.REFUSED: "order_reject",
        Fault.PARTIAL: "order_partial:percent=50,stays=1",
        Fault.LATE_FILL: "order_late_fill:seconds=0.2",
        Fault.FILL_AFTER_CANCEL: "order_late_fill:seconds=0.2,final=1",
        Fault.DUPLICATE: "order_duplicate",
        Fault.LOST: "order_lost:seconds=0.5",
        Fault.CLOCK: "clock_skew:600",
    }

    def __init__(self, exchange: SimExchange, **account: Any) -> None:
        self.exchange = exchange
        self.account = exchange.open_account("contract", {self.quote: "100000", self.base: "10"}, **account)
        self.secrets = (self.account["secret"], self.account["pem"])
        self._opened: list[Broker] = []

    @abstractmethod
    def make(self, access: Access) -> Broker:
        """Return a broker with this access."""

    def access(self, address: str) -> Access:
        """Return who asks; a dialect with a shared secret takes another key."""
        return Access(
            address=address, key=self.account["key"], secret=self.account["pem"], options={"read_timeout": 0.4}
        )

    def broker(self) -> Broker:
        self._opened.append(self.make(self.access(self.exchange.rest_url)))
        return self._opened[-1]

    def unreachable(self) -> Broker:
        self._opened.append(self.make(self.access(UNUSED_PORT)))
        return self._opened[-1]

    def trade(self, price: str) -> None:
        self.exchange.push(self.symbol, price)

    def count(self, client_id: str) -> int:
        return sum(order["client_id"] == client_id for order in self.exchange.orders())

    def fault(self, fault: Fault) -> None:
        self.exchange.fault(self._texts[fault])

    def close(self) -> None:
        for broker in self._opened:
            broker.close()


@contextmanager
def simulated(world: Callable[..., SimulatedWorld], **account: Any) -> Iterator[SimulatedWorld]:
    """A simulated exchange at 100 and a world on it, closed in the end."""
    with SimExchange(products="BTC-USD=100.00", rate=None) as exchange:
        opened = world(exchange, **account)
        opened.trade("100.00")
        try:
            yield opened
        finally:
            opened.close()


def ticket(world: World, client_id: str, **more: Any) -> Ticket:
    """A market buy of one at the world's venue, changed by `more`."""
    wanted: dict[str, Any] = {
        "client_id": client_id, "symbol": world.symbol, "buy": True, "kind": OrderKind.MARKET,
        "quantity": Decimal(1), "tif": TimeInForce.GTC,
    }  # fmt: skip
    return Ticket(**{**wanted, **more})


def limit(world: World, client_id: str, price: str, **more: Any) -> Ticket:
    """A limit buy of one."""
    return ticket(world, client_id, kind=OrderKind.LIMIT, limit_price=Decimal(price), **more)


def eventually(look: Callable[[], T], good: Callable[[T], object], within: float = 5.0) -> T:
    """Return what `look` sees once it is good; raises AssertionError with the last sight otherwise."""
    deadline = time.monotonic() + within
    while not good(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.02)
    return seen
