"""Real money and orders: which switch stops entries, which stops everything, and what is told of it."""

from decimal import Decimal
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.domain.errors import Refused
from apps.domain.orders import OrderKind, Purpose, Ticket, TimeInForce
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading.models import Account, Credential, Decision, Order
from apps.trading.services import connecting, keys, ordering, protecting, switches, withholding
from apps.trading.services.ordering import Change
from tests import factories
from tests.factories import fresh, stop
from tests.trading.orders import book
from tests.trading.orders.book import Book, send
from tests.trading.orders.wishes import close, enter, lot, story

pytestmark = pytest.mark.django_db
TICKET = Ticket(
    client_id="c1", symbol="BTC-USD", buy=True, kind=OrderKind.MARKET, quantity=Decimal(1), tif=TimeInForce.GTC
)
REAL = "https://api.book.example"  # no sandbox; the book is in memory all the same


@pytest.fixture
def account(db: None, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> Account:
    """An account whose orders would move real money, with both switches on."""
    book.install(monkeypatch, settings, tmp_path)
    monkeypatch.setattr(book, "ADDRESS", REAL)
    settings.LIVE_TRADING = True
    made = book.make_account(protect=True)
    Account.objects.filter(pk=made.pk).update(live=True)
    return fresh(made)


@pytest.fixture
def venue(account: Account) -> Book:
    return book.BOOKS[account.pk]


def postponed(order: Order) -> list[str]:
    rows = Event.objects.filter(subject=f"order:{order.pk}", kind="order.postponed")
    return [row.payload["why"] for row in rows]


def order_of(purpose: Purpose) -> Order:
    return Order.objects.filter(purpose=purpose).latest("pk")


def test_with_both_switches_on_it_enters_and_leaves(account: Account, instrument: Instrument, venue: Book) -> None:
    assert switches.is_real(account)
    position = lot(account, instrument, stop("95"))
    close(position)
    send()
    assert (fresh(position).status, venue.net) == ("closed", 0)


# --- the account's own switch ---------------------------------------------------------------------------------------
def test_the_account_s_own_switch_refuses_an_entry_before_an_order_is_stored(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    connecting.leave_live(account.pk, now=factories.now(), actor="boss")
    with pytest.raises(Refused, match="its own switch is off"):
        enter(account, instrument)
    assert not Order.objects.exists()
    assert "its own switch is off" in Decision.objects.get().reason
    send()
    assert venue.calls == []


def test_without_the_account_s_own_switch_what_is_held_is_still_left(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    position = lot(account, instrument, stop("95"))
    connecting.leave_live(account.pk, now=factories.now(), actor="boss")
    close(position)
    send()
    assert (fresh(position).status, venue.net) == ("closed", 0)


def test_an_entry_that_was_stored_before_the_switch_went_off_is_not_sent(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    order = enter(account, instrument)
    Account.objects.filter(pk=account.pk).update(live=False)  # without the service, which takes it back at once
    send()
    assert (fresh(order).status, venue.placed) == ("cancelled", [])
    assert "its own switch is off" in fresh(order).why


def test_switching_off_takes_back_the_entries_that_work(account: Account, instrument: Instrument, venue: Book) -> None:
    order = enter(account, instrument, kind=OrderKind.LIMIT, limit_price=Decimal(99))
    send()
    assert venue.live == [order.client_id]
    connecting.leave_live(account.pk, now=factories.now(), actor="boss")
    send()
    assert (fresh(order).status, venue.live) == ("cancelled", [])


def test_a_stop_at_the_venue_is_placed_and_taken_back_without_the_account_s_switch(
    account: Account, instrument: Instrument, venue: Book
) -> None:
    position = lot(account, instrument, stop("95"))
    connecting.leave_live(account.pk, now=factories.now(), actor="boss")
    assert protecting.keep(now=factories.now()) == 1
    protect = order_of(Purpose.PROTECT)
    send()
    assert venue.live == [protect.client_id]
    close(position)
    send()
    send(after=1)
    assert (fresh(position).status, venue.live, venue.net) == ("closed", [], 0)


# --- the site's switch ----------------------------------------------------------------------------------------------
def test_a_restored_copy_of_a_site_never_sells_real_holdings(
    account: Account, instrument: Instrument, venue: Book, settings: Settings
) -> None:
    position = lot(account, instrument, stop("95"))
    settings.LIVE_TRADING = False
    exit_ = close(position)
    sold = order_of(Purpose.EXIT)
    calls = len(venue.calls)
    for seconds in range(0, 60, 5):
        send(after=seconds)
    assert venue.calls[calls:] == [], "not even asked"
    assert (fresh(exit_).status, fresh(position).status, fresh(sold).status) == ("claimed", "closing", "new")
    assert fresh(sold).why == withholding.WHY
    assert postponed(sold) == [withholding.WHY], "told once, however often it is tried"
    assert "order.sent" not in story(sold)


def test_it_is_tried_again_with_a_pause_and_goes_on_when_the_switch_is_back(
    account: Account, instrument: Instrument, venue: Book, settings: Settings
) -> None:
    position = lot(account, instrument)
    settings.LIVE_TRADING = False
    close(position)
    send()
    sold = order_of(Purpose.EXIT)
    assert fresh(sold).look_at > factories.now() + withholding.PAUSE / 2
    version = fresh(sold).look_at
    assert send(after=1).taken == 0
    assert fresh(sold).look_at == version, "nothing is written before its time"
    settings.LIVE_TRADING = True
    assert send(after=1).taken == 0
    send(after=withholding.PAUSE.total_seconds() + 1)
    assert (fresh(position).status, venue.net) == ("closed", 0)


def test_without_the_site_s_switch_nothing_is_taken_back_or_changed_at_the_venue(
    account: Account, instrument: Instrument, venue: Book, settings: Settings
) -> None:
    orders = [enter(account, instrument, kind=OrderKind.LIMIT, limit_price=Decimal(99)) for _ in range(2)]
    send()
    settings.LIVE_TRADING = False
    ordering.cancel(orders[0].pk, now=factories.now())
    ordering.amend(orders[1].pk, Change(limit_price=Decimal(98)), now=factories.now())
    for seconds in range(0, 20, 2):
        send(after=seconds)
    assert sorted(venue.live) == sorted(order.client_id for order in orders)
    assert {what for what, _ in venue.calls} == {"place", "find"}, "only asked how they stand"
    assert [postponed(order) for order in orders] == [[withholding.WHY]] * 2
    settings.LIVE_TRADING = True
    send(after=30)
    send(after=31)
    assert fresh(orders[0]).status == "cancelled"


def test_a_cancel_that_was_lost_is_not_sent_again_without_the_site_s_switch(
    account: Account, instrument: Instrument, venue: Book, settings: Settings
) -> None:
    order = enter(account, instrument, kind=OrderKind.LIMIT, limit_price=Decimal(99))
    send()
    ordering.cancel(order.pk, now=factories.now())
    venue.faults = ["dead"]
    send()
    assert fresh(order).status == "cancelling"
    settings.LIVE_TRADING = False
    asked = venue.calls.count(("cancel", order.client_id))
    for seconds in range(2, 20, 3):
        send(after=seconds)
    assert venue.calls.count(("cancel", order.client_id)) == asked
    assert venue.live == [order.client_id]


def test_a_lost_exit_is_not_sent_again_without_the_site_s_switch(
    account: Account, instrument: Instrument, venue: Book, settings: Settings
) -> None:
    position = lot(account, instrument)
    close(position)
    venue.faults = ["dead"]
    send()
    sold = order_of(Purpose.EXIT)
    assert fresh(sold).status == "unknown"
    settings.LIVE_TRADING = False
    for seconds in range(1, 40, 3):
        send(after=seconds)
    assert sold.client_id not in venue.orders
    assert fresh(sold).status == "unknown"
    settings.LIVE_TRADING = True
    send(after=50)
    assert venue.net == 0


def test_whoever_connects_without_the_site_s_switch_can_only_ask(account: Account, settings: Settings) -> None:
    settings.LIVE_TRADING = False
    with keys.broker_of(account) as broker:
        assert broker.working() == []
        for act in (
            lambda: broker.place(TICKET),
            lambda: broker.cancel("c1", "v1"),
            lambda: broker.amend("c1", "v1", TICKET),
        ):
            with pytest.raises(switches.Silenced, match="the site's switch is off"):
                act()
    settings.LIVE_TRADING = True
    with keys.broker_of(account) as broker:
        assert broker.place(TICKET).client_id == "c1"


def test_no_stop_is_wanted_at_a_venue_that_may_not_be_asked(
    account: Account, instrument: Instrument, settings: Settings
) -> None:
    lot(account, instrument, stop("95"))
    settings.LIVE_TRADING = False
    assert protecting.keep(now=factories.now()) == 0
    settings.LIVE_TRADING = True
    assert protecting.keep(now=factories.now()) == 1


def test_a_sandbox_needs_no_switch(account: Account, instrument: Instrument, settings: Settings) -> None:
    settings.LIVE_TRADING = False
    Account.objects.filter(pk=account.pk).update(live=False)
    secrets = keys.Secrets(key="another-key-of-this-test", secret="another-secret")
    keys.replace(Credential.objects.get(), secrets, now=factories.now(), address="http://127.0.0.1:1")
    position = lot(fresh(account), instrument)
    close(position)
    send()
    assert fresh(position).status == "closed"
