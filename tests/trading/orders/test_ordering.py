"""Taking orders back and changing them: at the venue in place, or by another that takes up the rest; and in time."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.domain.errors import Refused
from apps.domain.orders import OrderKind, TimeInForce
from apps.domain.restrictions import Scope, TradingState
from apps.market.models import Instrument
from apps.trading.models import Account, Order
from apps.trading.services import ordering, restrictions, withdrawing
from apps.trading.services.ordering import Change
from tests import factories
from tests.factories import books_balance, fresh
from tests.trading.orders import book
from tests.trading.orders.book import Book, send
from tests.trading.orders.wishes import enter, story

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["book"])
def account(
    request: pytest.FixtureRequest, db: None, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> Account:
    book.install(monkeypatch, settings, tmp_path)
    return book.make_account(request.param)


amending = pytest.mark.parametrize("account", ["amending"], indirect=True)


@pytest.fixture
def venue(account: Account) -> Book:
    return book.BOOKS[account.pk]


@pytest.fixture
def resting(account: Account, instrument: Instrument) -> Order:
    """A limit order for 3 at 99 that works at the venue."""
    order = enter(account, instrument, kind=OrderKind.LIMIT, limit_price=Decimal(99), quantity="3")
    send()
    return fresh(order)


def stop_trading(scope: Scope = Scope.SITE, target: int = 0) -> None:
    wanted = restrictions.Order(
        state=TradingState.HALTED, scope=scope, target=target, reason="a test", actor="tester", source="command"
    )
    restrictions.order(wanted, now=factories.now())


# --- taking back ----------------------------------------------------------------------------------------------------
def test_a_working_order_is_taken_back(resting: Order, venue: Book) -> None:
    assert resting.status == "accepted"
    ordering.cancel(resting.pk, now=factories.now(), actor="me", why="changed my mind")
    send()
    assert fresh(resting).status == "cancelled"
    assert venue.live == []
    assert story(resting)[-3:] == ["order.cancel_asked", "order.cancelling", "order.cancelled"]
    with pytest.raises(ordering.OrderEnded):
        ordering.cancel(resting.pk, now=factories.now())


def test_an_order_that_was_not_sent_yet_ends_without_the_venue(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    order = enter(account, instrument)
    ordering.cancel(order.pk, now=factories.now())
    send()
    assert (fresh(order).status, venue.calls) == ("cancelled", [])


def test_a_fill_after_the_cancel_is_booked(resting: Order, venue: Book, account: Account) -> None:
    ordering.cancel(resting.pk, now=factories.now())
    venue.fill(resting.client_id, "1", "99")
    send()
    assert (fresh(resting).status, fresh(resting).position.remaining) == ("cancelled", 1)
    assert books_balance(account)


@pytest.mark.parametrize("fault", ["busy", "lost", "dead"])
def test_a_cancel_without_an_answer_is_asked_again(resting: Order, venue: Book, fault: str) -> None:
    venue.faults = [fault]
    ordering.cancel(resting.pk, now=factories.now())
    send()
    assert fresh(resting).status == "cancelling"
    for second in (2, 4):
        send(after=second)
    assert fresh(resting).status == "cancelled"
    assert venue.live == []


def test_a_cancel_that_comes_too_late_finds_the_order_filled(resting: Order, venue: Book) -> None:
    ordering.cancel(resting.pk, now=factories.now())
    venue.fill(resting.client_id, "3", "99")
    send()
    assert (fresh(resting).status, fresh(resting).filled) == ("filled", 3)


# --- in time --------------------------------------------------------------------------------------------------------
def test_an_order_that_is_not_filled_in_time_is_taken_back(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    due_at = factories.now() + timedelta(seconds=30)
    order = enter(account, instrument, kind=OrderKind.LIMIT, limit_price=Decimal(99), due_at=due_at)
    send()
    send(after=29)
    assert fresh(order).status == "accepted"
    send(after=31)
    assert (fresh(order).status, venue.live) == ("cancelled", [])
    assert "time was up" in fresh(order).why


def test_an_order_good_till_a_date_does_not_outlive_it_even_where_the_venue_forgets(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    expires_at = factories.now() + timedelta(seconds=30)
    order = enter(
        account,
        instrument,
        kind=OrderKind.LIMIT,
        limit_price=Decimal(99),
        tif=TimeInForce.GTD,
        expires_at=expires_at,
    )
    send()
    send(after=31)
    assert fresh(order).status == "accepted"  # the venue's own clock comes first
    send(after=36)
    assert (fresh(order).status, venue.live) == ("cancelled", [])


# --- changing -------------------------------------------------------------------------------------------------------
@amending
def test_an_order_is_changed_in_place_where_the_venue_can(resting: Order, venue: Book) -> None:
    ordering.amend(resting.pk, Change(limit_price=Decimal(98), quantity=Decimal(2)), now=factories.now())
    send(after=1)
    order = fresh(resting)
    assert (order.status, order.limit_price, order.quantity, order.amendment) == ("accepted", 98, 2, None)
    assert venue.orders[order.client_id].ticket.limit_price == 98
    assert venue.placed == [order.client_id]
    assert "order.amended" in story(order)


@amending
@pytest.mark.parametrize("fault", ["busy", "lost", "dead"])
def test_a_change_without_an_answer_is_asked_again(resting: Order, venue: Book, fault: str) -> None:
    ordering.amend(resting.pk, Change(limit_price=Decimal(98)), now=factories.now())
    venue.faults = [fault]
    for second in (1, 7, 14):
        send(after=second)
    assert (fresh(resting).limit_price, fresh(resting).amendment) == (98, None)
    assert venue.orders[resting.client_id].ticket.limit_price == 98


@amending
def test_a_change_the_venue_refuses_leaves_the_order_as_it_is(resting: Order, venue: Book) -> None:
    ordering.amend(resting.pk, Change(limit_price=Decimal(98)), now=factories.now())
    venue.faults = ["refused"]
    send(after=1)
    order = fresh(resting)
    assert (order.status, order.limit_price, order.amendment) == ("accepted", 99, None)
    assert "order.amend_refused" in story(order)


def test_elsewhere_another_order_takes_up_the_rest(resting: Order, venue: Book, account: Account) -> None:
    venue.fill(resting.client_id, "1", "99")
    send(after=1)
    ordering.amend(resting.pk, Change(limit_price=Decimal(98)), now=factories.now())
    send(after=2)
    send(after=3)
    old, new = fresh(resting), Order.objects.latest("pk")
    assert (old.status, old.filled) == ("cancelled", 1)
    assert (new.status, new.limit_price, new.quantity, new.attempt) == ("accepted", 98, 2, 2)
    venue.fill(new.client_id, "2", "98")
    send(after=9)
    assert old.position == fresh(new).position
    assert fresh(new).position.remaining == 3
    assert books_balance(account)


def test_a_worker_that_dies_before_the_answer_leaves_the_change_to_the_next(resting: Order, venue: Book) -> None:
    ordering.amend(resting.pk, Change(limit_price=Decimal(98)), now=factories.now())
    send(after=1, limit=1)  # asks for it to be taken back
    with pytest.MonkeyPatch.context() as patch:

        def die(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(ordering, "_place_rest", die)
        with pytest.raises(KeyboardInterrupt):
            send(after=1)
    assert fresh(resting).status == "cancelling"  # both are settled, or neither
    send(after=3)
    assert fresh(resting).status == "cancelled"
    assert [one.attempt for one in Order.objects.order_by("pk")] == [1, 2]


def test_what_is_taken_back_for_good_while_it_is_replaced_stays_away(resting: Order, venue: Book) -> None:
    ordering.amend(resting.pk, Change(limit_price=Decimal(98)), now=factories.now())
    stop_trading()
    send(after=1)
    send(after=2)
    assert fresh(resting).status == "cancelled"
    assert (Order.objects.count(), venue.live) == (1, [])


WRONG = {
    "nothing": (Change(), "change"),
    "off the grid": (Change(limit_price=Decimal("98.001")), "limit_price"),
    "no such price": (Change(stop_price=Decimal(98)), "stop_price"),
    "too little": (Change(quantity=Decimal("0.00001")), "quantity"),
    "not a number": (Change(quantity=Decimal("NaN")), "quantity"),
}


@pytest.mark.parametrize(("change", "field"), WRONG.values(), ids=WRONG)
def test_a_wrong_change_is_refused(resting: Order, change: Change, field: str) -> None:
    with pytest.raises(Refused) as refused:
        ordering.amend(resting.pk, change, now=factories.now())
    assert [problem.field for problem in refused.value.problems] == [field]
    assert fresh(resting).amendment is None


def test_a_change_that_costs_more_than_there_is_is_refused(resting: Order) -> None:
    with pytest.raises(Refused) as refused:
        ordering.amend(resting.pk, Change(quantity=Decimal(11_000)), now=factories.now())
    assert [problem.field for problem in refused.value.problems] == ["quantity"]
    ordering.amend(resting.pk, Change(quantity=Decimal(10_000)), now=factories.now())


# --- when trading is stopped ----------------------------------------------------------------------------------------
def test_stopping_takes_back_what_works_and_what_waits_to_be_sent(
    resting: Order, account: Account, instrument: Instrument, venue: Book
) -> None:
    waiting = enter(account, instrument)
    stop_trading()
    assert fresh(waiting).status == "cancelled"
    send()
    assert (fresh(resting).status, venue.live) == ("cancelled", [])
    assert "halted" in fresh(resting).why


def test_stopping_elsewhere_leaves_orders_alone(resting: Order, venue: Book) -> None:
    other = factories.make_instrument("ETH-USD")
    stop_trading(Scope.INSTRUMENT, other.pk)
    send()
    assert fresh(resting).cancel_asked_at is None


def test_an_order_stored_in_the_moment_of_stopping_is_not_sent(
    account: Account, instrument: Instrument, venue: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = enter(account, instrument)
    with monkeypatch.context() as patch:
        patch.setattr(withdrawing, "withdraw", lambda *_, **__: 0)
        stop_trading()
        assert fresh(order).status == "new"
        send()
    assert (fresh(order).status, venue.placed) == ("cancelled", [])
