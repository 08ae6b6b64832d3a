"""Changing a working entry is judged by the limits on risk like a new one: as a whole, in the place of what it was."""

from decimal import Decimal
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.domain.errors import Refused
from apps.domain.orders import OrderKind
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading.models import Account, Order
from apps.trading.services import deciding, ordering
from apps.trading.services.ordering import Change
from tests import factories
from tests.factories import fresh
from tests.trading.orders import book
from tests.trading.orders.book import Book, send
from tests.trading.orders.wishes import enter
from tests.trading.risk.world import decisions, limit, why_not

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(db: None, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> Account:
    book.install(monkeypatch, settings, tmp_path)
    return book.make_account()


@pytest.fixture
def venue(account: Account) -> Book:
    return book.BOOKS[account.pk]


@pytest.fixture
def resting(account: Account, instrument: Instrument) -> Order:
    """A limit order for 3 at 99 that works at the venue."""
    order = enter(account, instrument, kind=OrderKind.LIMIT, limit_price=Decimal(99), quantity="3")
    send()
    return fresh(order)


def amend(order: Order, **change: str) -> Order:
    wanted = Change(**{name: Decimal(value) for name, value in change.items()})
    return ordering.amend(order.pk, wanted, now=factories.now(), actor="me")


def test_a_raised_quantity_is_judged_and_its_refusal_kept(account: Account, resting: Order) -> None:
    limit("max_order_value", amount=400)
    with pytest.raises(deciding.Forbidden, match="the order is worth"):
        amend(resting, quantity="5")
    assert fresh(resting).amendment is None
    found = why_not(account)
    assert (found.quantity, found.price, found.source, found.actor) == (5, 99, "amend", "me")
    assert [row["rule"] for row in found.verdicts if not row["allowed"]] == ["max_order_value"]


def test_small_steps_do_not_get_past_a_limit(resting: Order) -> None:
    limit("max_order_value", amount=400)
    amend(resting, quantity="4")
    send()
    with pytest.raises(deciding.Forbidden):
        amend(Order.objects.latest("pk"), quantity="5")


def test_the_order_itself_does_not_count_beside_what_it_becomes(resting: Order) -> None:
    limit("max_gross_exposure", rate=0, amount=500)
    limit("max_open_positions", lots=1)
    limit("max_position_size", units=5)
    amend(resting, quantity="5")
    with pytest.raises(deciding.Forbidden) as refused:
        amend(resting, quantity="6")
    assert {one.limit.rule for one in refused.value.ruled if not one.verdict.allowed} == {
        "max_gross_exposure",
        "max_position_size",
    }


def test_what_was_filled_stays_held_and_is_one_lot(resting: Order, venue: Book) -> None:
    limit("max_position_size", units=5)
    limit("max_open_positions", lots=1)
    venue.fill(resting.client_id, "2", "99")
    send(after=1)
    assert fresh(resting).filled == 2
    amend(resting, quantity="5")
    with pytest.raises(deciding.Forbidden):
        amend(resting, quantity="5.1")


def test_a_raised_price_is_judged(resting: Order) -> None:
    limit("price_band", rate=0.05)
    with pytest.raises(deciding.Forbidden):
        amend(resting, limit_price="106")
    amend(resting, limit_price="104")


@pytest.mark.parametrize("change", [{"quantity": "2"}, {"limit_price": "98"}, {"quantity": "2", "limit_price": "98"}])
def test_to_want_less_is_not_judged(account: Account, resting: Order, change: dict[str, str]) -> None:
    limit("max_order_value", amount=1)
    count = len(decisions(account))
    amend(resting, **change)
    assert len(decisions(account)) == count


def test_the_price_of_a_sale_is_judged_either_way(account: Account, instrument: Instrument) -> None:
    order = enter(account, instrument, kind=OrderKind.LIMIT, limit_price=Decimal(101), side="short")
    send()
    limit("price_band", rate=0.05)
    for price in ("94", "106"):
        with pytest.raises(deciding.Forbidden):
            amend(order, limit_price=price)


def test_an_approved_change_has_a_decision_that_the_event_names(account: Account, resting: Order) -> None:
    limit("max_order_value", amount=500)
    amend(resting, quantity="4")
    made = decisions(account)[-1]
    assert (made.approved, made.quantity, made.source) == (True, 4, "amend")
    assert (made.signal_id, made.request_key) == (None, None)
    event = Event.objects.get(kind="order.amend_asked")
    assert event.payload["judged"] == made.pk


def test_too_little_money_is_a_refusal_with_reasons_too(account: Account, resting: Order) -> None:
    with pytest.raises(Refused, match="more, the account has"):
        amend(resting, quantity="11000")
    assert "more, the account has" in why_not(account).reason
