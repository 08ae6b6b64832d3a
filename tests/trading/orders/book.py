"""A venue with a book and faults of its own, behind the interface of a broker; registered for one test only."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from apps.domain.orders import Execution, OrderKind, Report, Ticket, TimeInForce
from apps.domain.states import ENDED_ORDERS, OrderStatus
from apps.trading import keyfile
from apps.trading.brokers import registry
from apps.trading.brokers.base import (
    Abilities,
    Broker,
    BrokerBusy,
    BrokerRefused,
    BrokerUnclear,
    Holding,
    Rights,
)
from apps.trading.models import Account, Credential, Standing
from apps.trading.services import keys, sending
from tests import factories

ADDRESS = "http://127.0.0.1:1"  # nobody is called there: the book is in memory
EVERYTHING = {"kinds": frozenset(OrderKind), "tifs": frozenset(TimeInForce), "protects": True, "shorts": True}


@dataclass
class Kept:
    """An order as the venue keeps it."""

    ticket: Ticket
    venue_id: str
    status: OrderStatus = OrderStatus.ACCEPTED
    executions: list[Execution] = field(default_factory=list)

    @property
    def filled(self) -> Decimal:
        return sum((one.quantity for one in self.executions), Decimal(0))

    @property
    def rest(self) -> Decimal:
        return self.ticket.quantity - self.filled


class Book:
    """The venue. `faults` are taken one per call: busy, refused, lost (done, but the answer is lost), dead (not done).

    Market orders fill at once at `price` unless `fills_at_once` is off.
    """

    def __init__(self) -> None:
        self.orders: dict[str, Kept] = {}
        self.faults: list[str] = []
        self.calls: list[tuple[str, str]] = []
        self.placed: list[str] = []  # client ids in the order they came into the book, each time they did
        self.price = Decimal(100)
        self.fills_at_once = True
        self.cancels_at_once = True
        self.before: Any = None  # called with the name of a call before it is served
        self.lock = threading.RLock()

    @contextmanager
    def served(self, what: str, client_id: str) -> Iterator[None]:
        """Count a call and let a fault befall it."""
        if self.before is not None:
            self.before(what)
        with self.lock:
            self.calls.append((what, client_id))
            fault = self.faults.pop(0) if self.faults else ""
            if fault == "busy":
                raise BrokerBusy("too many requests", after=0.1)
            if fault == "refused":
                raise BrokerRefused("the venue does not want it")
            if fault == "dead":
                raise BrokerUnclear("no answer; nothing was done")
            yield
            if fault == "lost":
                raise BrokerUnclear("no answer; it was done")

    def fill(self, client_id: str, quantity: Decimal | str, price: Decimal | str | None = None) -> Execution:
        """Fill some of an order, also one that was taken back: the fill was on its way."""
        with self.lock:
            kept = self.orders[client_id]
            one = Execution(
                id=f"f{client_id}-{len(kept.executions)}",
                quantity=Decimal(quantity),
                price=Decimal(price or self.price),
                fee=Decimal(0),
                fee_asset="",
                at=datetime.now(UTC),
            )
            kept.executions.append(one)
            if not kept.rest:
                kept.status = OrderStatus.FILLED
            elif kept.status not in ENDED_ORDERS:
                kept.status = OrderStatus.PARTIALLY_FILLED
            return one

    def report(self, client_id: str) -> Report:
        with self.lock:
            kept = self.orders[client_id]
            return Report(
                client_id=client_id,
                venue_id=kept.venue_id,
                status=kept.status,
                filled=kept.filled,
                executions=tuple(kept.executions),
                quantity=kept.ticket.quantity,
                limit_price=kept.ticket.limit_price,
                stop_price=kept.ticket.stop_price,
            )

    @property
    def live(self) -> list[str]:
        return [key for key, kept in self.orders.items() if kept.status not in ENDED_ORDERS]

    @property
    def net(self) -> Decimal:
        """Return what all fills together bought, less what they sold."""
        signed = ((kept.filled if kept.ticket.buy else -kept.filled) for kept in self.orders.values())
        return sum(signed, Decimal(0))


BOOKS: dict[int, Book] = {}  # by account


class BookBroker(Broker):
    """A broker whose venue is a `Book` in memory."""

    name = "book"
    abilities = Abilities(**EVERYTHING)  # type: ignore[arg-type] # a mapping of mixed values

    @property
    def book(self) -> Book:
        return BOOKS.setdefault(self.account_id, Book())

    def place(self, ticket: Ticket) -> Report:
        book = self.book
        with book.served("place", ticket.client_id):
            if ticket.client_id not in book.orders:
                book.placed.append(ticket.client_id)
                book.orders[ticket.client_id] = Kept(ticket, f"v{len(book.orders)}")
                if ticket.kind is OrderKind.MARKET and book.fills_at_once:
                    book.fill(ticket.client_id, ticket.quantity)
        return book.report(ticket.client_id)

    def cancel(self, client_id: str, venue_id: str) -> Report:
        book = self.book
        with book.served("cancel", client_id):
            kept = book.orders.get(client_id)
            if kept is None or kept.status in ENDED_ORDERS:
                raise BrokerRefused("there is no such order working")
            kept.status = OrderStatus.CANCELLED if book.cancels_at_once else OrderStatus.CANCELLING
        return book.report(client_id)

    def amend(self, client_id: str, venue_id: str, ticket: Ticket) -> Report:
        book = self.book
        with book.served("amend", client_id):
            kept = book.orders[client_id]
            if kept.status in ENDED_ORDERS or ticket.quantity < kept.filled:
                raise BrokerRefused("it cannot be changed any more")
            kept.ticket = ticket
        return book.report(client_id)

    def find(self, client_id: str, venue_id: str = "") -> Report | None:
        book = self.book
        with book.served("find", client_id):
            return book.report(client_id) if client_id in book.orders else None

    def working(self) -> list[Report]:
        return [self.book.report(key) for key in self.book.live]

    def executions(self, since: datetime) -> list[tuple[str, Execution]]:
        found = [(key, one) for key, kept in self.book.orders.items() for one in kept.executions]
        return [(key, one) for key, one in found if one.at >= since]

    def positions(self) -> list[Holding] | None:
        return None

    def balances(self) -> list[Holding]:
        return []

    def clock(self) -> datetime:
        return datetime.now(UTC)

    def rights(self) -> Rights:
        return Rights(trade=True, withdraw=False)


class AmendingBroker(BookBroker):
    """The same, but it changes orders in place."""

    name = "amending"
    abilities = Abilities(**EVERYTHING, amends=True)  # type: ignore[arg-type] # as above


class PlainBroker(BookBroker):
    """The same with market orders only, long only."""

    name = "plain"
    abilities = Abilities(kinds=frozenset({OrderKind.MARKET}), tifs=frozenset({TimeInForce.GTC}))


def install(monkeypatch: pytest.MonkeyPatch, settings: Settings, folder: Path) -> None:
    """Let the site know the brokers for a test, and give it a key file."""
    registry.names()
    for broker in (BookBroker, AmendingBroker, PlainBroker):
        monkeypatch.setitem(vars(registry)["_found"], broker.name, broker)
    settings.KEY_FILE = folder / "broker_keys"
    keyfile.create(settings.KEY_FILE)


def make_account(broker: str = "book", **options: Any) -> Account:
    """Open an account at the venue, compared with it a moment ago."""
    account = factories.make_account()
    secrets = keys.Secrets(key="a-key-of-this-test", secret="a-secret-of-this-test")
    wanted = keys.NewCredential(owner_id=account.owner_id, name="book", broker=broker, secrets=secrets, address=ADDRESS)
    credential: Credential = keys.store(wanted, now=factories.now()).credential
    Account.objects.filter(pk=account.pk).update(
        instant=False, broker=broker, credential=credential, broker_options=options
    )
    Standing.objects.create(account=account, clean_at=factories.now())
    BOOKS[account.pk] = Book()
    return factories.fresh(account)  # type: ignore[no-any-return] # a row of any model


def send(after: float = 0, limit: int = 50) -> sending.Sent:
    """Take what is due `after` so many seconds."""
    return sending.send_due("test", limit, clock=lambda: factories.now() + timedelta(seconds=after))


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)
