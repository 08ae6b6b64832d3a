"""What is Alpaca's own: its words for where an order stands, its refusals, its pages."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests

from apps.domain.orders import OrderKind
from apps.domain.states import OrderStatus
from apps.trading.brokers import alpaca_orders
from apps.trading.brokers.alpaca import PAGE, Alpaca
from apps.trading.brokers.alpaca_orders import Told, Unreadable
from apps.trading.brokers.base import Access, BrokerRefused, Holding
from tests.trading.brokers.contract import limit, ticket
from tests.trading.brokers.worlds import alpaca as worlds
from tests.trading.brokers.worlds.alpaca import AlpacaWorld

T = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def venue() -> Iterator[AlpacaWorld]:
    with worlds.opened() as opened:
        assert isinstance(opened, AlpacaWorld)
        yield opened


def asked(venue: AlpacaWorld, method: str, path: str, body: Any = None) -> Any:
    """Ask the venue as somebody else with the same key would."""
    headers = {"APCA-API-KEY-ID": venue.account["key"], "APCA-API-SECRET-KEY": venue.account["secret"]}
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(method, venue.exchange.rest_url + path, json=body, headers=headers, timeout=5)
    assert answer.status_code in (200, 204), answer.text
    return answer.json() if answer.content else None


def told(status: str, filled: str = "0", **more: Any) -> Told:
    return Told(
        id="v1", client_order_id="e1-1", symbol="AAPL", side="buy", status=status, created_at=T, qty="10",
        filled_qty=filled, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "filled", "expected"),
    [
        ("new", "0", "accepted"),
        ("accepted", "0", "accepted"),
        ("pending_new", "0", "accepted"),
        ("accepted_for_bidding", "0", "accepted"),
        ("held", "0", "accepted"),
        ("stopped", "0", "accepted"),
        ("calculated", "4", "partially_filled"),
        ("suspended", "0", "accepted"),
        ("pending_replace", "0", "accepted"),
        ("partially_filled", "4", "partially_filled"),
        ("partially_filled", "0", "accepted"),
        ("done_for_day", "0", "accepted"),
        ("done_for_day", "4", "partially_filled"),
        ("pending_cancel", "4", "cancelling"),
        ("filled", "10", "filled"),
        ("canceled", "4", "cancelled"),
        ("expired", "0", "expired"),
        ("rejected", "0", "rejected"),
        ("replaced", "0", "cancelled"),
        ("a word of tomorrow", "0", "unknown"),
    ],
)
def test_every_word_of_the_venue_has_one_of_ours(status: str, filled: str, expected: str) -> None:
    assert alpaca_orders.report(told(status, filled)).status == OrderStatus(expected)


def test_what_cannot_be_a_number_is_unreadable() -> None:
    for text in ("NaN", "Infinity", "1e40", "many"):
        with pytest.raises(Unreadable):
            alpaca_orders.report(told("new", text))


def test_an_order_is_sent_with_every_word(venue: AlpacaWorld) -> None:
    stop = ticket(venue, "p1-1", buy=False, kind=OrderKind.STOP_LIMIT, stop_price=Decimal("90.00"),
                  limit_price=Decimal("89.50"), quantity=Decimal("0.250"))  # fmt: skip
    assert alpaca_orders.body(stop) == {
        "symbol": "BTC-USD", "qty": "0.25", "side": "sell", "type": "stop_limit", "time_in_force": "gtc",
        "order_class": "simple", "client_order_id": "p1-1", "limit_price": "89.5", "stop_price": "90",
    }  # fmt: skip
    report = venue.broker().place(stop)
    assert (report.kind, report.stop_price, report.limit_price) == (OrderKind.STOP_LIMIT, Decimal(90), Decimal("89.5"))


def test_an_order_changed_on_the_venues_page_has_ended_and_its_replacement_is_none_of_ours(venue: AlpacaWorld) -> None:
    broker = venue.broker()
    placed = broker.place(limit(venue, "e1-1", "90.00"))
    new = asked(venue, "PATCH", f"/v2/orders/{placed.venue_id}", {"limit_price": "91"})
    report = broker.find("e1-1")
    assert report is not None
    assert (report.status, new["id"] in report.reason) == (OrderStatus.CANCELLED, True)
    (stranger,) = broker.working()
    assert (stranger.venue_id, stranger.limit_price) == (new["id"], Decimal(91))
    assert stranger.client_id != "e1-1"


def test_too_little_money_is_a_refusal_that_says_so(venue: AlpacaWorld) -> None:
    with pytest.raises(BrokerRefused, match=r"HTTP 403 .*insufficient buying power"):
        venue.broker().place(limit(venue, "e1-1", "90.00", quantity=Decimal(100_000)))


def test_a_wrong_secret_is_a_refusal_that_does_not_repeat_it(venue: AlpacaWorld) -> None:
    broker = Alpaca(Access(address=venue.exchange.rest_url, key=venue.account["key"], secret="not the secret"), 1)
    with pytest.raises(BrokerRefused, match="not authorized") as refused:
        broker.place(ticket(venue, "e1-1"))
    broker.close()
    assert "not the secret" not in str(refused.value)
    assert venue.account["key"] not in str(refused.value)


def test_fills_are_read_over_all_pages_each_once(venue: AlpacaWorld) -> None:
    broker = venue.broker()
    began = broker.clock() - timedelta(seconds=1)
    count = PAGE + 5
    for number in range(count):
        body = {"symbol": "BTC-USD", "qty": "0.0001", "side": "buy", "type": "market", "time_in_force": "gtc"}
        asked(venue, "POST", "/v2/orders", {**body, "client_order_id": f"e{number}-1"})
    listed = broker.executions(began)
    assert len(listed) == len({one.id for _, one in listed}) == count
    assert [one.at for _, one in listed] == sorted(one.at for _, one in listed)


def test_positions_are_net_and_cash_is_the_balance(venue: AlpacaWorld) -> None:
    broker = venue.broker()
    broker.place(ticket(venue, "e1-1", quantity=Decimal("0.5")))
    assert broker.positions() == [Holding(asset="BTC-USD", quantity=Decimal("10.5"), available=Decimal("10.5"))]
    (cash,) = broker.balances()
    assert cash.asset == "USD"
    assert abs(cash.quantity - Decimal("99950")) < 1


def test_an_account_that_may_not_trade_says_so(venue: AlpacaWorld) -> None:
    assert venue.broker().rights().trade is True
    barred = venue.exchange.open_account("barred", {"USD": "1"}, can_trade=False)
    broker = Alpaca(Access(address=venue.exchange.rest_url, key=barred["key"], secret=barred["secret"]), 2)
    assert broker.rights().trade is False
    broker.close()
