"""Sending orders: what is called at the venue, what an answer, a lost one or none at all leads to."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.domain.states import OrderStatus
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading.models import Account, Order, Position, Standing
from apps.trading.services import ordering
from tests import factories
from tests.factories import books_balance, fresh, stop
from tests.trading.orders import book
from tests.trading.orders.book import Book, send
from tests.trading.orders.wishes import close, enter, lot, story

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(db: None, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> Account:
    book.install(monkeypatch, settings, tmp_path)
    return book.make_account()


@pytest.fixture
def venue(account: Account) -> Book:
    return book.BOOKS[account.pk]


# --- there and back -------------------------------------------------------------------------------------------------
def test_an_entry_becomes_a_lot_with_its_legs_and_every_step_is_in_the_journal(
    account: Account, instrument: Instrument
) -> None:
    order = enter(account, instrument, stop("95"), quantity="2")
    assert send().taken == 1
    order = fresh(order)
    assert (order.status, order.filled, order.position.remaining) == ("filled", 2, 2)
    assert [leg.level for leg in order.position.legs.all()] == [95]
    assert story(order) == ["order.created", "order.sent", "order.filled"]
    assert books_balance(account)


def test_an_exit_goes_to_the_venue_and_closes_the_lot(account: Account, instrument: Instrument, venue: Book) -> None:
    position = lot(account, instrument, stop("95"))
    venue.price = Decimal(94)
    exit_ = close(position)
    assert (fresh(exit_).status, fresh(position).status) == ("claimed", "closing")
    assert len(venue.placed) == 1  # no broker is called by the drain
    send()
    assert (fresh(exit_).status, fresh(exit_).fill_price, fresh(position).status) == ("done", 94, "closed")
    assert fresh(position).realised_pnl == -6
    assert venue.net == 0
    assert books_balance(account)


def test_a_crossed_stop_is_claimed_and_sent(account: Account, instrument: Instrument, venue: Book) -> None:
    position = lot(account, instrument, stop("95"))
    factories.cross(position.legs.all(), "94")
    order = position.orders.get(purpose="exit")
    assert (order.buy, order.quantity, order.kind, order.reduce_only) == (False, 1, "market", True)
    send()
    assert fresh(position).status == "closed"
    assert venue.net == 0


# --- what can go wrong ----------------------------------------------------------------------------------------------
def test_a_lost_answer_is_looked_for_and_nothing_is_sent_twice(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    venue.faults = ["lost"]
    order = enter(account, instrument)
    send()
    assert fresh(order).status == OrderStatus.UNKNOWN
    send(after=2)
    assert fresh(order).status == "filled"
    assert [what for what, _ in venue.calls] == ["place", "find"]
    assert venue.net == 1
    assert books_balance(account)


def test_what_never_arrived_is_sent_again_under_its_name_but_not_before_it_is_certain(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    venue.faults = ["dead"]
    order = enter(account, instrument)
    send()
    send(after=2)
    assert (fresh(order).status, venue.placed) == ("unknown", [])
    send(after=11)
    send(after=12)
    assert fresh(order).status == "filled"
    assert venue.placed == [order.client_id]


def test_an_entry_that_never_arrived_and_was_taken_back_is_not_sent_again(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    venue.faults = ["dead"]
    order = enter(account, instrument)
    send()
    ordering.cancel(order.pk, now=factories.now())
    send(after=11)
    assert (fresh(order).status, venue.placed) == ("rejected", [])


def test_a_busy_venue_is_tried_again_later(account: Account, instrument: Instrument, venue: Book) -> None:
    venue.faults = ["busy"]
    order = enter(account, instrument)
    send()
    assert fresh(order).status == "new"
    send()
    assert fresh(order).status == "new"  # not before its time
    send(after=1)
    assert fresh(order).status == "filled"
    assert venue.placed == [order.client_id]


def test_a_refused_entry_ends(account: Account, instrument: Instrument, venue: Book) -> None:
    venue.faults = ["refused"]
    order = enter(account, instrument)
    send()
    assert (fresh(order).status, fresh(order).why) == ("rejected", "the venue does not want it")
    assert not Position.objects.exists()


def test_a_refused_exit_is_tried_again_with_a_new_name(account: Account, instrument: Instrument, venue: Book) -> None:
    position = lot(account, instrument)
    venue.faults = ["refused"]
    exit_ = close(position)
    send()
    assert fresh(exit_).status == "claimed"
    send(after=1)
    assert (fresh(exit_).status, fresh(position).status) == ("done", "closed")
    assert [one.attempt for one in exit_.orders.order_by("id")] == [1, 2]
    assert venue.net == 0


def test_an_exit_refused_again_and_again_fails_and_says_so(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    position = lot(account, instrument)
    venue.faults = ["refused"] * 50
    exit_ = close(position)
    for number in range(12):
        send(after=number * 31)
    assert (fresh(exit_).status, fresh(position).status) == ("failed", "open")
    assert Event.objects.filter(kind="exit.failed").count() == 1
    assert exit_.orders.count() == 10


def test_a_rest_of_an_exit_gets_the_next_attempt(account: Account, instrument: Instrument, venue: Book) -> None:
    position = lot(account, instrument, quantity="3")
    venue.fills_at_once = False
    exit_ = close(position)
    send()
    first = exit_.orders.get()
    venue.fill(first.client_id, "1")
    venue.orders[first.client_id].status = OrderStatus.CANCELLED
    venue.fills_at_once = True
    send(after=1)
    assert (fresh(exit_).status, fresh(exit_).quantity, fresh(position).status) == ("done", 3, "closed")
    assert [one.quantity for one in exit_.orders.order_by("id")] == [3, 2]
    assert venue.net == 0
    assert books_balance(account)


def test_an_order_whose_worker_died_is_looked_for(account: Account, instrument: Instrument, venue: Book) -> None:
    order = enter(account, instrument)
    died = RuntimeError("killed")

    def die(what: str) -> None:
        raise died

    venue.before = die
    with pytest.raises(RuntimeError):
        send()
    venue.before = None
    assert fresh(order).status == "submitting"
    send(after=20)
    assert fresh(order).status == "submitting"
    send(after=31)
    assert fresh(order).status == "filled"
    assert venue.placed == [order.client_id]
    assert "order.unanswered" in story(order)


def test_an_entry_waits_for_its_account_to_agree_with_its_venue_but_not_for_ever(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    waits, late = enter(account, instrument), enter(account, instrument)
    Standing.objects.update(clean_at=None)
    send()
    assert (fresh(waits).status, venue.placed) == ("new", [])
    Order.objects.filter(pk=late.pk).update(created_at=factories.now() - timedelta(seconds=61))
    send()
    assert (fresh(waits).status, fresh(late).status) == ("new", "cancelled")
    Standing.objects.update(clean_at=factories.now())
    send()
    assert (fresh(waits).status, venue.placed) == ("filled", [waits.client_id])


def test_an_exit_does_not_wait_for_that(account: Account, instrument: Instrument, venue: Book) -> None:
    position = lot(account, instrument)
    Standing.objects.update(clean_at=None)
    close(position)
    send()
    assert fresh(position).status == "closed"


def test_an_account_whose_venue_is_silent_does_not_hold_up_another(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    venue.faults = ["dead"] * 100
    orders = [enter(account, instrument) for _ in range(5)]
    paper = factories.make_account(account.owner, name="other")
    Account.objects.filter(pk=paper.pk).update(instant=False)
    theirs = enter(fresh(paper), instrument)
    sent = send()
    assert fresh(theirs).status == "filled"
    assert [what for what, _ in venue.calls] == ["place"]  # one try; the rest of the round leaves it alone
    assert sent.trouble == 1
    assert [fresh(order).status for order in orders] == ["unknown", "new", "new", "new", "new"]
