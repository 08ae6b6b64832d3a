"""What is ccxt's own: what it would round, orders it cannot find by our id, errors it words its own way."""

import hashlib
import hmac
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import ccxt
import pytest
import requests

from apps.domain.errors import Refused
from apps.domain.orders import OrderKind, TimeInForce
from apps.domain.states import OrderStatus
from apps.domain.strategies.parameters import chosen, properties
from apps.market.models import Instrument
from apps.trading.brokers import ccxt_broker, ccxt_orders, registry
from apps.trading.brokers.base import BrokerBusy, BrokerRefused, BrokerUnclear
from apps.trading.brokers.ccxt_broker import BY_CLIENT_ID, CcxtBroker, CcxtOptions
from apps.trading.brokers.ccxt_exchange import Exchange
from apps.trading.models import Account, Order
from tests import factories
from tests.trading.brokers.contract import limit, ticket
from tests.trading.brokers.worlds import ccxt as worlds
from tests.trading.brokers.worlds.ccxt import OPTIONS, CcxtWorld

pytestmark = pytest.mark.django_db


@pytest.fixture
def venue() -> Iterator[CcxtWorld]:
    with worlds.opened() as opened:
        assert isinstance(opened, CcxtWorld)
        yield opened


@pytest.fixture
def without_client_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the exchange be one that finds no order by our id."""
    monkeypatch.setattr(ccxt_broker, "BY_CLIENT_ID", frozenset())


def by_hand(venue: CcxtWorld) -> None:
    """Let somebody place an order on the exchange's own page, without a client id."""
    query = f"symbol=BTCUSD&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=90&timestamp={time.time_ns() // 10**6}"
    signature = hmac.new(venue.account["secret"].encode(), query.encode(), hashlib.sha256).hexdigest()
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(
            f"{venue.exchange.rest_url}/api/v3/order", data=f"{query}&signature={signature}",
            headers={"X-MBX-APIKEY": venue.account["key"]}, timeout=5,
        )  # fmt: skip
    assert answer.status_code == 200, answer.text


def test_it_is_a_broker_by_its_name() -> None:
    assert registry.get("ccxt") is CcxtBroker


def test_the_exchanges_we_name_are_ccxts_and_the_form_offers_all() -> None:
    assert set(ccxt.exchanges) >= BY_CLIENT_ID
    assert properties(CcxtOptions)["exchange"]["enum"] == list(ccxt.exchanges)
    assert chosen(CcxtOptions, {"exchange": "okx"}) == {"exchange": "okx"}
    with pytest.raises(Refused, match="must be one of"):
        chosen(CcxtOptions, {"exchange": "nowhere"})


def test_an_unknown_exchange_is_refused(venue: CcxtWorld) -> None:
    access = replace(venue.access(venue.exchange.rest_url), options={"exchange": "nowhere"})
    with pytest.raises(BrokerRefused, match="no exchange 'nowhere'"):
        CcxtBroker(access, 1)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"quantity": Decimal("0.123456789")}, "quantity"),
        ({"quantity": Decimal("1.00000000000000000001")}, "quantity"),
        ({"limit_price": Decimal("90.001")}, "limit price"),
    ],
)
def test_what_would_be_rounded_is_refused_and_not_sent(venue: CcxtWorld, wrong: dict[str, Any], what: str) -> None:
    with pytest.raises(BrokerRefused, match=f"the {what} .* is not on the exchange's grid"):
        venue.broker().place(replace(limit(venue, "e1-1", "90.00"), **wrong))
    assert venue.count("e1-1") == 0


def test_an_order_is_found_without_the_exchanges_help(venue: CcxtWorld, without_client_ids: None) -> None:
    broker = venue.broker()
    broker.place(limit(venue, "e1-1", "90.00"))
    broker.place(ticket(venue, "e2-1"))
    other = venue.broker()
    found = {name: other.find(name) for name in ("e1-1", "e2-1", "e3-1")}
    assert found["e3-1"] is None
    assert found["e1-1"] is not None
    assert found["e1-1"].status is OrderStatus.ACCEPTED
    assert found["e2-1"] is not None
    assert found["e2-1"].status is OrderStatus.FILLED
    assert len(found["e2-1"].executions) == 1
    other.place(ticket(venue, "e2-1"))
    assert venue.count("e2-1") == 1


def test_an_order_without_a_client_id_may_be_the_one_we_look_for(venue: CcxtWorld, without_client_ids: None) -> None:
    broker = venue.broker()
    by_hand(venue)
    broker.place(limit(venue, "e1-1", "90.00"))  # which does not keep us from trading
    assert broker.find("e1-1") is not None
    with pytest.raises(BrokerBusy, match="does not show"):
        broker.find("e2-1")


@pytest.mark.parametrize(
    ("exchange", "shown"), [("binance", "e12-1"), ("okx", "e12N1"), ("gate", "t-e12-1"), ("gate", "t-someone's")]
)
def test_exchanges_spell_client_ids_their_own_way(exchange: str, shown: str) -> None:
    read = ccxt_orders.our_id({"clientOrderId": shown})
    assert read == ("e12-1" if "12" in shown else shown)
    assert ccxt_orders.sent_id(exchange, "e12-1") == shown.removeprefix("t-") or "12" not in shown


def test_a_client_id_whose_order_has_ended_is_not_sent_again(venue: CcxtWorld) -> None:
    venue.broker().place(ticket(venue, "e1-1"))
    venue.broker().place(ticket(venue, "e1-1"))
    assert venue.count("e1-1") == 1  # this exchange would have made a second order of it


def test_a_stop_keeps_its_price_and_its_kind(venue: CcxtWorld) -> None:
    stop = {"buy": False, "stop_price": Decimal("90.00")}
    broker = venue.broker()
    plain = broker.place(ticket(venue, "p1-1", kind=OrderKind.STOP, **stop))
    bound = broker.place(ticket(venue, "p2-1", kind=OrderKind.STOP_LIMIT, limit_price=Decimal(89), **stop))
    assert (plain.kind, plain.stop_price, plain.limit_price) == (OrderKind.STOP, Decimal(90), None)
    assert (bound.kind, bound.stop_price, bound.limit_price) == (OrderKind.STOP_LIMIT, Decimal(90), Decimal(89))


def test_the_products_are_known_from_our_own_orders(venue: CcxtWorld, account: Account) -> None:
    instrument = Instrument.objects.create(
        symbol="BTC/USD", base_currency="BTC", quote_currency="USD", tick_size=Decimal("0.01"),
        lot_size=Decimal("0.0001"), min_quantity=Decimal("0.0001"),
    )  # fmt: skip
    wish = {"buy": True, "kind": "market", "quantity": Decimal(1), "purpose": "entry"}
    Order.objects.create(account=account, instrument=instrument, client_id="e1-1", **wish)
    options = {name: value for name, value in OPTIONS.items() if name != "symbols"}
    access = replace(venue.access(venue.exchange.rest_url), secret=venue.account["secret"], options=options)
    venue.broker().place(ticket(venue, "e1-1"))
    broker = CcxtBroker(access, account.pk)
    found = broker.find("e1-1")
    assert found is not None
    assert found.status is OrderStatus.FILLED
    assert len(broker.executions(datetime(2026, 1, 1, tzinfo=UTC))) == 1
    broker.close()
    stranger = CcxtBroker(access, factories.make_account(factories.make_user("other")).pk)
    assert stranger.executions(datetime(2026, 1, 1, tzinfo=UTC)) == []
    stranger.close()


def test_a_wrong_secret_is_a_refusal_that_shows_neither_key_nor_signature(venue: CcxtWorld) -> None:
    access = replace(venue.access(venue.exchange.rest_url), secret="not the secret", options=OPTIONS)
    broker = CcxtBroker(access, 1)
    with pytest.raises(BrokerRefused, match="Signature") as refused:
        broker.find("e1-1")
    broker.close()
    shown = str(refused.value)
    assert not any(word in shown for word in ("not the secret", venue.account["key"], "signature="))
    assert refused.value.__cause__ is refused.value.__context__ is None  # ccxt's error holds the request


def test_ccxt_never_logs_its_headers(venue: CcxtWorld, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        venue.broker().place(ticket(venue, "e1-1"))
    assert venue.account["key"] not in caplog.text


def test_a_change_that_never_left_is_busy_and_one_that_broke_on_the_way_is_unclear(venue: CcxtWorld) -> None:
    exchange = Exchange(replace(venue.access(venue.exchange.rest_url), secret=venue.account["secret"], options=OPTIONS))
    order = ("BTC/USD", "market", "buy", 1.0, None, {"clientOrderId": "e1-1"})
    venue.exchange.fault("order_reset:after=1")
    with pytest.raises(BrokerUnclear):
        exchange.change(lambda api: api.create_order(*order))
    venue.exchange.stop()
    with pytest.raises(BrokerBusy):
        exchange.change(lambda api: api.create_order(*order))
    exchange.close()


def test_garbage_in_place_of_a_list_is_no_empty_list(venue: CcxtWorld) -> None:
    broker = venue.broker()
    broker.place(limit(venue, "e1-1", "90.00"))
    venue.exchange.fault("order_status:status=200,call=read")
    with pytest.raises(BrokerBusy, match="binance: "):
        broker.working()
    assert len(broker.working()) == 1


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ({"status": "open", "filled": "0"}, "accepted"),
        ({"status": "open", "filled": "0.5"}, "partially_filled"),
        ({"status": "closed", "filled": "1"}, "filled"),
        ({"status": "closed", "filled": "0.5"}, "cancelled"),
        ({"status": "canceled", "filled": "0.5"}, "cancelled"),
        ({"status": "canceling", "filled": "0"}, "cancelling"),
        ({"status": "expired", "filled": "0"}, "expired"),
        ({"status": "rejected"}, "rejected"),
        ({"status": None}, "accepted"),
        ({"status": "a word of tomorrow"}, "unknown"),
    ],
)
def test_every_word_of_ccxt_has_one_of_ours(order: dict[str, Any], expected: str) -> None:
    assert ccxt_orders.report({"id": "7", "amount": "1", **order}, "e1-1").status == OrderStatus(expected)


def test_a_trade_is_told_apart_by_product_and_order_and_its_fee_is_what_was_paid() -> None:
    trade = {"id": "7", "order": "3", "symbol": "BTC/USD", "price": "100", "amount": "0.5", "timestamp": 1_000}
    paid = {"fee": {"cost": None}, "fees": [{"cost": "0"}, {"cost": "0.001", "currency": "BNB"}]}
    one = ccxt_orders.execution({**trade, **paid})
    assert (one.id, one.fee, one.fee_asset) == ("BTC/USD:3:7", Decimal("0.001"), "BNB")
    assert ccxt_orders.execution(trade).fee_asset == "USD"
    assert ccxt_orders.execution({**trade, "symbol": "ETH/USD"}).id != one.id


def test_only_limit_orders_name_how_long_they_work() -> None:
    base = ticket(CcxtWorld, "e1-1", tif=TimeInForce.IOC)  # type: ignore[arg-type]
    assert "timeInForce" not in ccxt_orders.request(base, str, str)[5]
    bound = replace(base, kind=OrderKind.LIMIT, limit_price=Decimal(90))
    assert ccxt_orders.request(bound, str, str)[5]["timeInForce"] == "IOC"
