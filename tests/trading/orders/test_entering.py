"""The one door for entries: what becomes a position at once, what an order, and what is refused with every reason."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from apps.domain.errors import Refused
from apps.domain.orders import OrderKind, TimeInForce
from apps.domain.restrictions import Scope, TradingState
from apps.market.models import Instrument
from apps.trading import books
from apps.trading.models import Account, Decision, Order, Position, Standing
from apps.trading.services import entering, restrictions
from apps.trading.services.entering import Entered, Entry
from apps.trading.services.positions import NoQuote
from tests import factories
from tests.factories import fresh, stop, target
from tests.trading.orders import book
from tests.trading.orders.book import Book, send

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["book"])
def account(
    request: pytest.FixtureRequest, db: None, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> Account:
    book.install(monkeypatch, settings, tmp_path)
    return book.make_account(request.param)


plain = pytest.mark.parametrize("account", ["plain"], indirect=True)


@pytest.fixture
def venue(account: Account) -> Book:
    return book.BOOKS[account.pk]


def wish(account: Account, instrument: Instrument, *legs, **more: Any) -> Entered:
    names = ("kind", "tif", "limit_price", "stop_price", "expires_at", "due_at")
    how = {name: more.pop(name) for name in names if name in more}
    entry = Entry(opening=factories.wish(account, instrument, *legs, **more), **how)
    return entering.enter(entry, now=factories.now())


def refused(account: Account, instrument: Instrument, *legs, **more: Any) -> list[str]:
    with pytest.raises(Refused) as error:
        wish(account, instrument, *legs, **more)
    assert not Order.objects.exists()
    return [problem.field for problem in error.value.problems]


# --- doors ----------------------------------------------------------------------------------------------------------
def test_an_instant_account_gets_its_position_at_once(instrument: Instrument) -> None:
    entered = wish(factories.make_account(), instrument, stop("95"))
    assert entered.position is not None
    assert (entered.order, entered.created, entered.position.status) == (None, True, "open")


def test_a_limit_order_of_an_instant_account_goes_through_the_paper_venue(
    instrument: Instrument, settings: Settings
) -> None:
    settings.RECORD_TICKS = False
    account = factories.make_account()
    entered = wish(account, instrument, stop("90"), kind=OrderKind.LIMIT, limit_price=Decimal(99))
    assert entered.position is None
    order = entered.order
    assert order is not None
    send()
    assert fresh(order).status == "accepted"
    factories.set_quote(instrument, "98", trade_id=2)
    send(after=2)
    order = fresh(order)
    assert (order.status, order.position.remaining) == ("filled", 1)
    factories.cross(order.position.legs.all(), "90")
    assert fresh(order.position).status == "closed"  # exits of this account are filled at once, as ever
    assert factories.books_balance(account)


def test_a_broker_account_gets_an_order_that_carries_its_bracket(account: Account, instrument: Instrument) -> None:
    entered = wish(account, instrument, stop("95"), target("110"), actor="me")
    order = entered.order
    assert (entered.position, entered.created) == (None, True)
    assert order is not None
    assert (order.status, order.buy, [leg["kind"] for leg in order.legs]) == ("new", True, ["stop_loss", "take_profit"])
    assert order.decision is not None
    assert (order.decision.approved, order.actor) == (True, "me")


KINDS: dict[str, dict[str, Any]] = {
    "limit": {"kind": OrderKind.LIMIT, "limit_price": Decimal(99)},
    "stop": {"kind": OrderKind.STOP, "stop_price": Decimal(101)},
    "stop limit": {"kind": OrderKind.STOP_LIMIT, "stop_price": Decimal(101), "limit_price": Decimal(102)},
    "immediate or cancel": {"kind": OrderKind.LIMIT, "limit_price": Decimal(99), "tif": TimeInForce.IOC},
    "fill or kill": {"kind": OrderKind.LIMIT, "limit_price": Decimal(99), "tif": TimeInForce.FOK},
    "day": {"kind": OrderKind.LIMIT, "limit_price": Decimal(99), "tif": TimeInForce.DAY},
}


@pytest.mark.parametrize("how", KINDS.values(), ids=KINDS)
def test_every_kind_reaches_the_venue_as_it_was_wished(
    account: Account, instrument: Instrument, venue: Book, how: dict[str, Any]
) -> None:
    order = wish(account, instrument, **how).order
    assert order is not None
    send()
    ticket = venue.orders[order.client_id].ticket
    assert {name: getattr(ticket, name) for name in how} == how


# --- repeats --------------------------------------------------------------------------------------------------------
def test_a_repeated_request_is_the_same_order(account: Account, instrument: Instrument) -> None:
    first = wish(account, instrument, request_key="k")
    second = wish(account, instrument, request_key="k")
    assert (first.created, second.created, first.order) == (True, False, second.order)
    send()
    third = wish(account, instrument, request_key="k")
    assert third.position == Position.objects.get()
    assert (third.created, Order.objects.count()) == (False, 1)


# --- refusals -------------------------------------------------------------------------------------------------------
REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a limit order without its price": ({"kind": OrderKind.LIMIT}, ["limit_price"]),
    "a market order with a price": ({"limit_price": Decimal(99)}, ["limit_price"]),
    "a price off the grid": ({"kind": OrderKind.LIMIT, "limit_price": Decimal("99.001")}, ["limit_price"]),
    "a price that is none": ({"kind": OrderKind.LIMIT, "limit_price": Decimal("NaN")}, ["limit_price"]),
    "a quantity off the grid": ({"quantity": "0.00001"}, ["quantity", "quantity"]),
    "gtd without a date": (
        {"kind": OrderKind.LIMIT, "limit_price": Decimal(99), "tif": TimeInForce.GTD},
        ["expires_at"],
    ),
    "more than there is money for": ({"quantity": "10001"}, ["quantity"]),
    "two things at once": (
        {"kind": OrderKind.STOP, "stop_price": Decimal("101.001"), "quantity": "10001"},
        ["stop_price", "quantity"],
    ),
}


@pytest.mark.parametrize(("how", "fields"), REFUSED.values(), ids=REFUSED)
def test_every_problem_is_named_and_the_refusal_is_kept(
    account: Account, instrument: Instrument, how: dict[str, Any], fields: list[str]
) -> None:
    assert refused(account, instrument, **how) == fields
    assert [one.approved for one in Decision.objects.all()] == [False]


@plain
def test_what_the_broker_cannot_do_is_refused(account: Account, instrument: Instrument) -> None:
    how = {"kind": OrderKind.LIMIT, "limit_price": Decimal(101), "tif": TimeInForce.FOK, "side": "short"}
    assert refused(account, instrument, **how) == ["kind", "tif", "side"]


def test_an_account_that_does_not_agree_with_its_venue_only_leaves(account: Account, instrument: Instrument) -> None:
    Standing.objects.filter(pk=account.pk).update(clean_at=None, trouble="a fill is unknown")
    assert refused(account, instrument) == ["account"]


def test_nothing_is_entered_where_trading_is_stopped(account: Account, instrument: Instrument) -> None:
    order = restrictions.Order(
        state=TradingState.REDUCING, scope=Scope.ACCOUNT, target=account.pk, reason="r", actor="a", source="command"
    )
    restrictions.order(order, now=factories.now())
    assert refused(account, instrument) == ["trading_state"]


def test_without_a_fresh_price_nothing_is_entered(account: Account, instrument: Instrument) -> None:
    factories.set_quote(instrument, "100", at=factories.now() - timedelta(hours=1))
    with pytest.raises(NoQuote):
        wish(account, instrument)
    assert Decision.objects.get().approved is False


def test_working_orders_hold_their_money_back(account: Account, instrument: Instrument, venue: Book) -> None:
    how = {"kind": OrderKind.LIMIT, "limit_price": Decimal(50)}
    first = wish(account, instrument, quantity="15000", **how).order
    assert books.buying_power(account) == 250_000
    assert first is not None
    with pytest.raises(Refused):
        wish(account, instrument, quantity="5001", **how)
    send()
    venue.fill(first.client_id, "5000", "50")
    send(after=2)
    assert books.buying_power(account) == 250_000  # what was held back is bound by now
