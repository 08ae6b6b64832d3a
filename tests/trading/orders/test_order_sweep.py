"""Orders without workers: sent by the sweeper, which a silent broker never keeps from the stops."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from apps.domain.legs import ExitReason
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading import sweeping
from apps.trading.models import Account, Order
from apps.trading.services import exits
from tests import factories
from tests.factories import fresh
from tests.trading.orders import book
from tests.trading.orders.book import Book
from tests.trading.orders.wishes import enter
from workers import order_sweep
from workers.order_sweep import OrderSweep
from workers.sweeper import Sweeper

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def account(transactional_db: None, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> Account:
    book.install(monkeypatch, settings, tmp_path)
    settings.RECORD_TICKS = False
    return book.make_account()


@pytest.fixture
def venue(account: Account) -> Book:
    return book.BOOKS[account.pk]


@pytest.fixture
def sweeper() -> Iterator[Sweeper]:
    made = Sweeper(every=0.1)
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.stop()
    thread.join(20)
    assert not thread.is_alive()


def until(true: object, seconds: float = 15) -> bool:
    assert callable(true)
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(true())


def age(order: Order, seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE trading_order SET created_at = clock_timestamp() - %s * interval '1 second' WHERE id = %s",
            [seconds, order.pk],
        )


def test_an_order_no_worker_saw_to_is_sent(account: Account, instrument: Instrument, sweeper: Sweeper) -> None:
    order = enter(account, instrument)
    assert until(lambda: fresh(order).status == "filled")


def test_a_broker_that_hangs_does_not_hold_up_a_stop(
    account: Account, instrument: Instrument, venue: Book, sweeper: Sweeper
) -> None:
    paper = factories.make_account(account.owner, name="instant")
    position = factories.opened(paper, instrument)
    called, answer = threading.Event(), threading.Event()

    def hang(_what: str) -> None:
        called.set()
        answer.wait(30)

    venue.before = hang
    enter(account, instrument)
    assert called.wait(20)
    try:
        exits.request_exit(position_id=position.pk, reason=ExitReason.API, source="test", now=factories.now())
        assert until(lambda: fresh(position).status == "closed")
        assert not answer.is_set()
    finally:
        answer.set()


def test_a_standby_sends_nothing(account: Account, instrument: Instrument) -> None:
    order = enter(account, instrument)
    age(order, 10)
    sweep = OrderSweep("standby", lambda: False, every=0.01)
    sweep.start()
    time.sleep(0.3)
    sweep.stop()
    assert fresh(order).status == "new"


def test_a_young_order_is_left_to_the_workers(account: Account, instrument: Instrument) -> None:
    order = enter(account, instrument)
    sweep = OrderSweep("leader", lambda: True)
    sweep.sweep()
    assert fresh(order).status == "new"
    age(order, order_sweep.PATIENCE.total_seconds() + 0.1)
    sweep.sweep()
    assert fresh(order).status == "filled"


def test_an_order_that_waits_for_long_is_told_of_once(account: Account, instrument: Instrument) -> None:
    order = enter(account, instrument)
    age(order, 6)
    assert sweeping.complain_of_orders(order_sweep._COMPLAIN_AFTER) == 1
    assert sweeping.complain_of_orders(order_sweep._COMPLAIN_AFTER) == 0
    told = Event.objects.get(kind="order.waiting")
    assert (told.subject, told.payload["purpose"]) == (f"order:{order.pk}", "entry")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_is_noticed_and_ends_the_process() -> None:
    def leads() -> bool:
        raise ValueError("nobody foresaw this")

    sweep = OrderSweep("test", leads, every=0.01)
    sweep.mind()  # it has not begun
    sweep.start()
    sweep._thread.join(5)
    with pytest.raises(RuntimeError, match="sees to orders"):
        sweep.mind()
    sweep.stop()
    sweep.mind()  # it was told to end
