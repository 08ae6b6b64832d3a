"""Stops kept at the venue: in step with ours, slowly, gone before an exit, and executed exactly once."""

from decimal import Decimal
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.market.models import Instrument
from apps.trading import protection
from apps.trading.models import Account, Exit, Order, Position, Watermark
from apps.trading.services import positions, protecting
from tests import factories
from tests.factories import books_balance, fresh, leg_of, stop, target, trailing
from tests.trading.orders import book
from tests.trading.orders.book import Book, send
from tests.trading.orders.wishes import close, lot

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["book"])
def account(
    request: pytest.FixtureRequest, db: None, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> Account:
    book.install(monkeypatch, settings, tmp_path)
    return book.make_account(request.param, protect=True)


amending = pytest.mark.parametrize("account", ["amending"], indirect=True)


@pytest.fixture
def venue(account: Account) -> Book:
    return book.BOOKS[account.pk]


def keep(after: float = 0) -> int:
    return protecting.keep(now=factories.now() + book.seconds(after))


def wanted(account: Account) -> protection.Protection:
    (found,) = protection.protections([account.pk])
    return found


def stops(venue: Book) -> list[tuple[Decimal | None, Decimal]]:
    """Return the stops that work at the venue: level and quantity."""
    return [(venue.orders[key].ticket.stop_price, venue.orders[key].rest) for key in venue.live]


def protected(account: Account, instrument: Instrument, *legs, **how) -> Position:
    position = lot(account, instrument, *legs, **how)
    keep()
    send()
    return position


def test_a_lot_gets_a_stop_at_its_venue(account: Account, instrument: Instrument, venue: Book) -> None:
    position = lot(account, instrument, stop("95"), target("110"), quantity="2")
    before = wanted(account)
    assert (before.level, before.quantity, before.confirmed, before.agrees) == (95, 2, None, False)
    keep()
    send()
    assert stops(venue) == [(95, 2)]
    after = wanted(account)
    assert after.agrees
    assert after.confirmed is not None
    assert after.confirmed.status == "accepted"
    order = position.orders.get(purpose="protect")
    assert (order.kind, order.buy, order.reduce_only) == ("stop", False, True)
    assert keep() == 0


def test_a_lot_without_a_stop_gets_none(account: Account, instrument: Instrument, venue: Book) -> None:
    protected(account, instrument, target("110"))
    assert stops(venue) == []
    assert wanted(account).agrees


def test_an_account_that_does_not_ask_gets_none(account: Account, instrument: Instrument, venue: Book) -> None:
    Account.objects.update(broker_options={})
    protected(account, instrument, stop("95"))
    assert stops(venue) == []


def test_the_nearest_of_several_stops_counts(account: Account, instrument: Instrument, venue: Book) -> None:
    protected(account, instrument, stop("90"), trailing("4"))
    assert stops(venue) == [(96, 1)]


def test_a_trailing_stop_is_followed_but_not_step_by_step(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    position = protected(account, instrument, trailing("5"))
    leg = leg_of(position, "trailing_stop")
    for second in range(14 * 60):
        Watermark.objects.filter(leg=leg).update(peak=Decimal(100) + Decimal(second) / 10)
        if second % 5 == 0:
            keep(after=second)
            send(after=second)
        if second % 5 == 1 and not stops(venue):
            keep(after=second)  # the new one follows at once when the old is gone
            send(after=second)
            assert len(stops(venue)) == 1
    replacements = Order.objects.filter(purpose="protect").count()
    assert 15 <= replacements <= 14 * 60 / protecting.PACE.total_seconds() + 1


@amending
def test_a_stop_is_moved_in_place_where_the_venue_can(account: Account, instrument: Instrument, venue: Book) -> None:
    position = protected(account, instrument, stop("95"))
    positions.amend_levels(position_id=position.pk, legs={"stop_loss": [stop("97")]}, now=factories.now())
    keep(after=5)
    send(after=5)
    assert stops(venue) == [(95, 1)]  # not so soon
    keep(after=31)
    send(after=31)
    assert stops(venue) == [(97, 1)]
    assert len(venue.placed) == 2
    assert wanted(account).agrees


@amending
def test_in_place_too_it_moves_once_in_a_while(account: Account, instrument: Instrument, venue: Book) -> None:
    leg = leg_of(protected(account, instrument, trailing("5")), "trailing_stop")
    for second in range(0, 5 * 60, 2):
        Watermark.objects.filter(leg=leg).update(peak=Decimal(100) + Decimal(second) / 10)
        keep(after=second)
        send(after=second)
    assert 5 <= [what for what, _ in venue.calls].count("amend") <= 10
    assert len(stops(venue)) == 1


@amending
def test_a_stop_that_the_venue_does_not_change_in_place_is_replaced(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    position = protected(account, instrument, stop("95"))
    positions.amend_levels(position_id=position.pk, legs={"stop_loss": [stop("97")]}, now=factories.now())
    keep(after=31)
    venue.faults = ["refused"]
    send(after=31)
    assert stops(venue) == [(95, 1)]
    for second in (62, 63, 64):
        keep(after=second)
        send(after=second)
    assert stops(venue) == [(97, 1)]
    assert [what for what, _ in venue.calls].count("amend") == 1


def test_elsewhere_it_is_replaced(account: Account, instrument: Instrument, venue: Book) -> None:
    position = protected(account, instrument, stop("95"))
    positions.amend_levels(position_id=position.pk, legs={"stop_loss": [stop("97")]}, now=factories.now())
    keep(after=31)
    send(after=31)
    assert stops(venue) == []
    keep(after=32)
    send(after=32)
    assert stops(venue) == [(97, 1)]
    assert [one.attempt for one in position.orders.filter(purpose="protect").order_by("id")] == [1, 2]


def test_it_is_gone_before_an_exit_is_sent(account: Account, instrument: Instrument, venue: Book) -> None:
    position = protected(account, instrument, stop("95"))
    close(position)
    send(after=1)
    assert fresh(position).status == "closed"
    assert [what for what, _ in venue.calls] == ["place", "place", "cancel", "place"]
    assert (venue.net, venue.live) == (0, [])
    assert keep(after=60) == 0


def test_an_exit_waits_while_the_venue_may_still_have_the_stop(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    position = protected(account, instrument, stop("95"))
    venue.cancels_at_once = False
    close(position)
    send(after=1)
    send(after=2)
    assert fresh(position).status == "closing"
    assert len(venue.placed) == 2
    (key,) = venue.live
    venue.fill(key, "1", "94.9")  # the stop was faster than our cancel
    for second in (4, 8, 12):
        send(after=second)
    assert fresh(position).status == "closed"
    assert (venue.net, len(venue.placed)) == (0, 2)
    assert books_balance(account)
    assert Exit.objects.filter(status="done").count() == 1


def test_a_stop_that_filled_is_one_exit_however_often_it_is_told(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    position = protected(account, instrument, stop("95"))
    (key,) = venue.live
    venue.fill(key, "1", "94.5")
    for second in (1, 3, 9):
        send(after=second)
    factories.cross([position.legs.get()], "94")
    send(after=12)
    (exit_,) = Exit.objects.filter(status="done")
    assert (exit_.reason, exit_.source, exit_.fill_price) == ("stop_loss", "venue", Decimal("94.5"))
    assert fresh(position).status == "closed"
    assert venue.net == 0
    assert books_balance(account)


def test_a_refused_stop_is_tried_less_and_less_often(account: Account, instrument: Instrument, venue: Book) -> None:
    lot(account, instrument, stop("95"))
    venue.faults = ["refused"] * 1000
    for second in range(0, 3600, 10):
        keep(after=second)
        send(after=second)
    assert 5 <= Order.objects.filter(purpose="protect").count() <= 9
