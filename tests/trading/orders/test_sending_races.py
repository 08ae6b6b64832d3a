"""Several hands on the same orders: each is sent once and none works at the venue that counts as taken back."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models.query import QuerySet
from pytest_django import Settings

from apps.domain.orders import OrderKind
from apps.market.models import Instrument
from apps.trading.models import Account, Order
from apps.trading.services import ordering, placing
from tests import factories
from tests.factories import books_balance, fresh
from tests.trading.orders import book
from tests.trading.orders.book import Book, send
from tests.trading.orders.wishes import close, enter, lot
from tests.trading.racing import race

pytestmark = [pytest.mark.django_db(transaction=True)]
ORDERS = 12


@pytest.fixture
def account(transactional_db: None, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> Account:
    book.install(monkeypatch, settings, tmp_path)
    return book.make_account()


@pytest.fixture
def venue(account: Account) -> Book:
    return book.BOOKS[account.pk]


@contextmanager
def slowly_claimed(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[None]:
    """Give everybody time to read the same row before anybody writes."""
    judge = placing._reason_not_to_send

    def slow(*args: Any) -> str:
        time.sleep(seconds)
        return judge(*args)

    with monkeypatch.context() as patch:
        patch.setattr(placing, "_reason_not_to_send", slow)
        yield


@contextmanager
def read_by_both(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let two have read the same row before either of them writes, however slow the machine is."""
    judge, both = placing._reason_not_to_send, threading.Barrier(2)

    def meet(*args: Any) -> str:
        with suppress(threading.BrokenBarrierError):  # only the first row is waited for
            both.wait(10)
            both.abort()
        return judge(*args)

    with monkeypatch.context() as patch:
        patch.setattr(placing, "_reason_not_to_send", meet)
        yield


@contextmanager
def without_locks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take the guard off: every lock locks nothing."""
    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, "select_for_update", lambda rows, **_: rows.all())
        yield


def placed_twice(venue: Book) -> list[str]:
    """Return the client ids that were sent more than once."""
    calls = Counter(client_id for what, client_id in venue.calls if what == "place")
    return [client_id for client_id, count in calls.items() if count > 1]


# --- senders --------------------------------------------------------------------------------------------------------
def test_four_senders_send_each_order_once(
    account: Account, instrument: Instrument, venue: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [enter(account, instrument) for _ in range(ORDERS)]
    with slowly_claimed(monkeypatch, 0.01):
        answers = race(*[send] * 4)
    assert all(not isinstance(answer, Exception) for answer in answers), answers
    send()
    assert placed_twice(venue) == []
    assert {fresh(order).status for order in orders} == {"filled"}
    assert venue.net == ORDERS
    assert books_balance(account)


def test_without_locks_they_would_send_some_twice(
    account: Account, instrument: Instrument, venue: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(account, instrument)
    with read_by_both(monkeypatch), without_locks(monkeypatch):
        race(send, send)
    assert len(placed_twice(venue)) == 1


def test_four_senders_send_each_exit_once(
    account: Account, instrument: Instrument, venue: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    lots = [lot(account, instrument) for _ in range(4)]
    for position in lots:
        close(position)
    with slowly_claimed(monkeypatch, 0.01):
        race(*[send] * 4)
    send()
    assert placed_twice(venue) == []
    assert {fresh(position).status for position in lots} == {"closed"}
    assert venue.net == 0
    assert books_balance(account)


# --- sender against canceller ---------------------------------------------------------------------------------------
def works_although_taken_back(order: Order, venue: Book) -> bool:
    return fresh(order).status == "cancelled" and order.client_id in venue.live


@pytest.mark.parametrize("ahead", [0.0, 0.02, 0.05])
def test_an_order_taken_back_while_it_is_sent_does_not_go_on_working(
    account: Account, instrument: Instrument, venue: Book, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    order = enter(account, instrument, kind=OrderKind.LIMIT, limit_price=Decimal(99))

    def cancel() -> None:
        time.sleep(ahead)
        ordering.cancel(order.pk, now=factories.now())

    with slowly_claimed(monkeypatch, 0.03):
        answers = race(send, cancel)
    assert not isinstance(answers[1], Exception), answers
    send(after=1)
    send(after=3)
    assert fresh(order).status == "cancelled"
    assert venue.live == []


def test_without_locks_it_would(
    account: Account, instrument: Instrument, venue: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = enter(account, instrument, kind=OrderKind.LIMIT, limit_price=Decimal(99))
    answered = threading.Event()
    end = ordering.end_unsent

    def late(*args: Any, **values: Any) -> None:
        answered.wait(5)  # the row was read as not sent; meanwhile it is
        end(*args, **values)

    def send_and_say() -> None:
        send()
        answered.set()

    with without_locks(monkeypatch), monkeypatch.context() as patch:
        patch.setattr(ordering, "end_unsent", late)
        race(send_and_say, lambda: ordering.cancel(order.pk, now=factories.now()))
    assert works_although_taken_back(order, venue)


def test_no_lock_is_held_while_the_venue_is_called(account: Account, instrument: Instrument, venue: Book) -> None:
    order = enter(account, instrument)
    held: list[int] = []

    def look(_what: str) -> None:
        with connection.cursor() as cursor:
            held.append(int(connection.in_atomic_block))
            cursor.execute("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'tuple'")
            held.append(int(cursor.fetchone()[0]))

    venue.before = look
    send()
    assert fresh(order).status == "filled"
    assert held == [0, 0]
