"""Claiming exits of accounts whose broker takes orders: how much each takes, what it takes back, what waits."""

from decimal import Decimal
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.domain.legs import ExitReason
from apps.domain.orders import OrderKind
from apps.domain.states import OrderStatus
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading.models import Account, Exit, Order, Position
from apps.trading.services import exits
from tests import factories
from tests.factories import books_balance, drain, fresh, leg_of, stop, target
from tests.trading.orders import book
from tests.trading.orders.book import Book, send
from tests.trading.orders.wishes import close, enter, lot

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(db: None, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> Account:
    book.install(monkeypatch, settings, tmp_path)
    return book.make_account()


@pytest.fixture
def venue(account: Account) -> Book:
    return book.BOOKS[account.pk]


def test_an_instant_account_and_one_with_orders_are_drained_together(account: Account, instrument: Instrument) -> None:
    ours = lot(account, instrument)
    paper = factories.make_account(account.owner, name="instant")
    theirs = factories.opened(paper, instrument)
    for position in (ours, theirs):
        exits.request_exit(position_id=position.pk, reason=ExitReason.API, source="test", now=factories.now())
    drained = drain()
    assert (drained.done, drained.superseded, drained.waiting) == (2, 0, 0)
    assert (fresh(ours).status, fresh(theirs).status) == ("closing", "closed")
    assert Order.objects.filter(purpose="exit").count() == 1


def test_a_target_for_a_part_leaves_the_lot_open_and_a_stop_takes_the_rest(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    position = lot(account, instrument, target("110", "0.5"), stop("95"), quantity="2")
    venue.fills_at_once = False
    factories.cross([leg_of(position, "take_profit")], "110")
    assert fresh(position).status == "open"
    factories.cross([leg_of(position, "stop_loss")], "95")
    assert fresh(position).status == "closing"
    orders = list(position.orders.filter(purpose="exit").order_by("id"))
    assert [one.quantity for one in orders] == [1, 1]
    send()
    for one in orders:
        venue.fill(one.client_id, "1", "95")
    send(after=1)
    assert fresh(position).status == "closed"
    assert venue.net == 0
    assert books_balance(account)


def test_an_exit_that_finds_nothing_free_waits_and_is_superseded_once_the_lot_is_closed(
    account: Account, instrument: Instrument
) -> None:
    position = lot(account, instrument, stop("95"))
    close(position)
    drained = factories.cross([leg_of(position, "stop_loss")], "94")
    assert (drained.done, drained.waiting) == (0, 1)
    send()
    assert fresh(position).status == "closed"
    drain()
    second = Exit.objects.get(position=position, leg__isnull=False)
    assert second.status == "superseded"
    assert Order.objects.filter(purpose="exit").count() == 1


def test_a_price_that_did_not_cross_the_locked_leg_is_superseded(account: Account, instrument: Instrument) -> None:
    position = lot(account, instrument, stop("95"))
    factories.cross(position.legs.all(), "96")
    assert factories.exits_of(position)[0].status == "superseded"
    assert not Order.objects.filter(purpose="exit").exists()
    assert fresh(position).status == "open"


def test_an_exit_of_everything_takes_back_what_is_still_being_entered(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    order = enter(account, instrument, kind=OrderKind.LIMIT, limit_price=Decimal(99), quantity="3")
    send()
    venue.fill(order.client_id, "1", "99")
    send(after=1)
    position = fresh(order).position
    assert position is not None
    close(position)
    assert fresh(order).cancel_asked_at is not None
    send(after=2)
    assert (fresh(order).status, fresh(position).status) == ("cancelled", "closed")
    assert venue.live == []
    assert venue.net == 0


def test_what_fills_while_it_is_taken_back_is_left_too(account: Account, instrument: Instrument, venue: Book) -> None:
    order = enter(account, instrument, kind=OrderKind.LIMIT, limit_price=Decimal(99), quantity="3")
    send()
    venue.fill(order.client_id, "1", "99")
    send(after=1)
    position = fresh(order).position
    assert position is not None
    venue.cancels_at_once = False
    exit_ = close(position)
    venue.fill(order.client_id, "1", "99")  # on its way while we decided
    send(after=2)
    venue.orders[order.client_id].status = OrderStatus.CANCELLED
    for second in range(3, 20, 3):
        send(after=second)
        drain()
    assert venue.net == 0
    assert fresh(exit_).status == "done"
    assert not Position.objects.exclude(status="closed").exists()
    assert books_balance(account)


def test_a_claim_is_in_the_journal_with_its_reason(account: Account, instrument: Instrument) -> None:
    position = lot(account, instrument, stop("95"))
    factories.cross(position.legs.all(), "94")
    told = Event.objects.get(kind="exit.claimed")
    assert (told.subject, told.payload["reason"], told.payload["quantity"]) == (
        f"position:{position.pk}",
        "stop_loss",
        "1",
    )
