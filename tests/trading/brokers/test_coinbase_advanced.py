"""Coinbase Advanced Trade beyond the contract: its words, its tokens, its pages."""

import base64
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from apps.domain.orders import OrderKind, Ticket, TimeInForce
from apps.domain.states import OrderStatus
from apps.simulator.exchange import SimExchange
from apps.trading.brokers import coinbase_orders as words
from apps.trading.brokers import simulated
from apps.trading.brokers.base import Access, BrokerBusy, BrokerRefused, BrokerUnclear, Rights
from apps.trading.brokers.coinbase_advanced import CoinbaseAdvanced
from apps.trading.brokers.coinbase_tokens import Signer
from apps.trading.brokers.http import Denied
from tests.simulator.advancedclient import Client
from tests.trading.brokers.contract import eventually

MARKET, LIMIT, STOP_LIMIT = OrderKind.MARKET, OrderKind.LIMIT, OrderKind.STOP_LIMIT
GTC, GTD, IOC, FOK = TimeInForce.GTC, TimeInForce.GTD, TimeInForce.IOC, TimeInForce.FOK
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def exchange() -> Iterator[SimExchange]:
    with SimExchange(products="BTC-USD=100.00", rate=None) as running:
        running.push("BTC-USD", "100.00")
        yield running


@pytest.fixture
def broker(exchange: SimExchange) -> Iterator[CoinbaseAdvanced]:
    access = replace(simulated.access(exchange.rest_url), options={"read_timeout": 0.4})
    with closing(CoinbaseAdvanced(access, account_id=1)) as opened:
        yield opened


def ticket(client_id: str = "e1-1", **more: Any) -> Ticket:
    wanted: dict[str, Any] = {
        "client_id": client_id, "symbol": "BTC-USD", "buy": True, "kind": MARKET, "quantity": Decimal(1), "tif": GTC,
    }  # fmt: skip
    return Ticket(**{**wanted, **more})


def limit(client_id: str = "e1-1", price: str = "90", **more: Any) -> Ticket:
    return ticket(client_id, kind=LIMIT, limit_price=Decimal(price), **more)


@pytest.mark.parametrize(
    ("more", "name", "terms"),
    [
        ({}, "market_market_ioc", {}),
        ({"tif": FOK}, "market_market_fok", {}),
        ({"kind": LIMIT, "limit_price": Decimal("9E+1")}, "limit_limit_gtc", {"limit_price": "90"}),
        ({"kind": LIMIT, "limit_price": Decimal("0.10"), "tif": IOC}, "sor_limit_ioc", {"limit_price": "0.1"}),
        ({"kind": LIMIT, "limit_price": Decimal("9"), "tif": FOK}, "limit_limit_fok", {"limit_price": "9"}),
        (
            {"kind": LIMIT, "limit_price": Decimal("9"), "tif": GTD, "expires_at": AT}, "limit_limit_gtd",
            {"limit_price": "9", "end_time": "2026-01-02T03:04:05Z"},
        ),
        (
            {"kind": STOP_LIMIT, "limit_price": Decimal(8), "stop_price": Decimal(9), "buy": False},
            "stop_limit_stop_limit_gtc",
            {"limit_price": "8", "stop_price": "9", "stop_direction": "STOP_DIRECTION_STOP_DOWN"},
        ),
        (
            {"kind": STOP_LIMIT, "limit_price": Decimal(9), "stop_price": Decimal(8), "tif": GTD, "expires_at": AT},
            "stop_limit_stop_limit_gtd",
            {"limit_price": "9", "stop_price": "8", "stop_direction": "STOP_DIRECTION_STOP_UP",
             "end_time": "2026-01-02T03:04:05Z"},
        ),
    ],
)  # fmt: skip
def test_a_ticket_becomes_one_order_configuration_of_plain_decimals(
    more: dict[str, Any], name: str, terms: dict[str, str]
) -> None:
    made = words.configuration(ticket(quantity=Decimal("1E-8"), **more))
    assert made == {name: {"base_size": "0.00000001", **terms}}


@pytest.mark.parametrize(
    ("status", "filled", "more", "expected"),
    [
        ("PENDING", "0", {}, OrderStatus.ACCEPTED),
        ("QUEUED", "0", {}, OrderStatus.ACCEPTED),
        ("OPEN", "0", {}, OrderStatus.ACCEPTED),
        ("OPEN", "0.5", {}, OrderStatus.PARTIALLY_FILLED),
        ("OPEN", "0.5", {"pending_cancel": True}, OrderStatus.CANCELLING),
        ("EDIT_QUEUED", "0", {}, OrderStatus.ACCEPTED),
        ("EDIT_QUEUED", "0.5", {}, OrderStatus.PARTIALLY_FILLED),
        ("CANCEL_QUEUED", "0.5", {}, OrderStatus.CANCELLING),
        ("FILLED", "1", {}, OrderStatus.FILLED),
        ("CANCELLED", "0.5", {}, OrderStatus.CANCELLED),
        ("EXPIRED", "0", {}, OrderStatus.EXPIRED),
        ("FAILED", "0", {}, OrderStatus.REJECTED),
        ("FAILED", "0.5", {}, OrderStatus.CANCELLED),
        ("UNKNOWN_ORDER_STATUS", "0", {}, OrderStatus.UNKNOWN),
        ("A_WORD_OF_TOMORROW", "0", {}, OrderStatus.UNKNOWN),
    ],
)
def test_each_status_of_the_venue_is_one_of_ours(
    status: str, filled: str, more: dict[str, Any], expected: OrderStatus
) -> None:
    told = words.Told(order_id="v", product_id="BTC-USD", side="SELL", status=status, filled_size=filled, **more)
    assert words.report(told).status is expected


def test_a_fill_sized_in_quote_units_is_told_in_base_units() -> None:
    done = words.Done(
        entry_id="x", order_id="v", product_id="ETH-EUR", price="200", size="50", trade_time=AT, commission="0.1",
        size_in_quote=True,
    )  # fmt: skip
    made = words.execution(done)
    assert (made.quantity, made.fee, made.fee_asset) == (Decimal("0.25"), Decimal("0.1"), "EUR")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e400", "", "one"])
def test_a_number_that_is_none_is_not_believed(text: str) -> None:
    with pytest.raises(words.Unreadable):
        words.amount(text)


def test_a_refusal_carries_the_reason_of_the_venue(broker: CoinbaseAdvanced) -> None:
    with pytest.raises(BrokerRefused, match="INSUFFICIENT_FUND"):
        broker.place(ticket(quantity=Decimal(100_000)))


def test_a_failure_without_any_reason_is_unclear(broker: CoinbaseAdvanced, exchange: SimExchange) -> None:
    exchange.fault("order_reject", reason="UNKNOWN_FAILURE_REASON")
    with pytest.raises(BrokerUnclear):
        broker.place(ticket())


def test_an_ioc_market_order_that_fills_in_part_is_cancelled_with_what_it_has(
    broker: CoinbaseAdvanced, exchange: SimExchange
) -> None:
    exchange.fault("order_partial:percent=30")
    report = broker.place(ticket())
    assert (report.status, report.filled) == (OrderStatus.CANCELLED, Decimal("0.3"))
    assert [each.quantity for each in report.executions] == [Decimal("0.3")]


def test_what_is_filled_already_limits_an_amendment(broker: CoinbaseAdvanced, exchange: SimExchange) -> None:
    exchange.fault("order_partial:percent=50")
    placed = broker.place(limit(price="101"))
    with pytest.raises(BrokerRefused, match="CANNOT_EDIT_TO_BELOW_FILLED_SIZE"):
        broker.amend("e1-1", placed.venue_id, limit(price="101", quantity=Decimal("0.4")))


def test_a_cancel_whose_outcome_nobody_tells_is_unclear(broker: CoinbaseAdvanced, exchange: SimExchange) -> None:
    placed = broker.place(limit())
    exchange.fault("order_status:500,call=read")
    with pytest.raises(BrokerUnclear):
        broker.cancel("e1-1", placed.venue_id)
    found = broker.find("e1-1")
    assert found is not None
    assert found.status is OrderStatus.CANCELLED


def test_an_accepted_order_that_cannot_be_looked_at_is_accepted(
    broker: CoinbaseAdvanced, exchange: SimExchange
) -> None:
    exchange.fault("order_status:500,call=read")
    report = broker.place(ticket())
    assert (report.status, report.filled) == (OrderStatus.ACCEPTED, 0)
    assert report.venue_id == exchange.orders()[0]["id"]


def test_orders_fills_and_currencies_beyond_one_page_are_all_there(exchange: SimExchange) -> None:
    currencies = {f"C{number}": "1" for number in range(260)}
    account = exchange.open_account("many", {"USD": "1000000", **currencies})
    client = Client(exchange, account)
    first = client.placed("oldest")
    for number in range(255):
        client.placed(f"limit{number}", "limit_limit_gtc", limit_price="90", base_size="0.01")
        client.placed(f"market{number}", base_size="0.01")
    with closing(CoinbaseAdvanced(simulated.access(exchange.rest_url, "many"), 1)) as broker:
        assert len(broker.working()) == 255
        assert len(broker.balances()) == 262
        fills = broker.executions(datetime.now(UTC) - timedelta(minutes=5))
        assert (len(fills), len({each.id for _, each in fills}), fills[0][0]) == (256, 256, first)
        found = broker.find("oldest")
        assert found is not None
        assert found.venue_id == first


def test_pending_orders_are_among_the_working_ones(broker: CoinbaseAdvanced, exchange: SimExchange) -> None:
    exchange.fault("order_pending:seconds=60")
    broker.place(limit("e1-1"))
    broker.place(limit("e2-1"))
    exchange.fault("order_late_fill:seconds=60")
    broker.cancel("e2-1", "")
    assert {each.client_id: each.status for each in broker.working()} == {
        "e1-1": OrderStatus.ACCEPTED,
        "e2-1": OrderStatus.CANCELLING,
    }


def test_fills_of_an_instant_are_included(broker: CoinbaseAdvanced) -> None:
    (execution,) = broker.place(ticket()).executions
    assert [each.id for _, each in broker.executions(execution.at)] == [execution.id]
    assert broker.executions(execution.at + timedelta(microseconds=1)) == []


def test_the_rights_of_a_key_are_what_the_venue_says(exchange: SimExchange) -> None:
    exchange.open_account("viewer", can_trade=False, can_transfer=True)
    with closing(CoinbaseAdvanced(simulated.access(exchange.rest_url, "viewer"), 1)) as broker:
        assert broker.rights() == Rights(trade=False, withdraw=True)
        with pytest.raises(Denied):
            broker.place(ticket())


def test_a_foreign_key_is_denied_and_not_asked_twice(exchange: SimExchange) -> None:
    access = simulated.access(exchange.rest_url)
    with (
        closing(CoinbaseAdvanced(replace(access, key="organizations/x/apiKeys/y"), 1)) as broker,
        pytest.raises(Denied),
    ):
        broker.balances()


@pytest.mark.parametrize("secret", ["", "not a key", "AAAA", "-----BEGIN EC PRIVATE KEY-----\nAA\n"])
def test_a_secret_that_is_no_key_is_refused_without_being_shown(secret: str) -> None:
    with closing(CoinbaseAdvanced(Access(address="http://127.0.0.1:9", key="k", secret=secret), 1)) as broker:
        with pytest.raises(BrokerRefused) as refused:
            broker.balances()
        assert not secret or secret not in str(refused.value)


def test_an_ed25519_secret_signs_with_eddsa() -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    secret = base64.b64encode(private.private_bytes_raw() + private.public_key().public_bytes_raw()).decode()
    headers = Signer("my-key", secret, "api.coinbase.com").headers("GET", "/api/v3/brokerage/orders?x=1", b"")
    head, claims, signature = headers["Authorization"].removeprefix("Bearer ").split(".")
    private.public_key().verify(unpacked(signature), f"{head}.{claims}".encode())
    assert json.loads(unpacked(head))["alg"] == "EdDSA"
    told = json.loads(unpacked(claims))
    assert told["uri"] == "GET api.coinbase.com/api/v3/brokerage/orders"
    assert (told["sub"], told["iss"], told["exp"] - told["nbf"]) == ("my-key", "cdp", 120)


def unpacked(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_every_token_is_new(exchange: SimExchange) -> None:
    access = simulated.access(exchange.rest_url)
    signer = Signer(access.key, access.secret.replace("\n", "\\n"), "h")  # as keys stand in one-line files
    made = {signer.headers("GET", "/x", b"")["Authorization"] for _ in range(5)}
    assert len(made) == 5


def test_a_venue_that_lists_what_cannot_be_is_asked_again_later() -> None:
    raw = b'{"orders": [{"order_id": "v", "product_id": "P", "side": "BUY", "filled_size": "NaN"}]}'
    told = msgspec.json.decode(raw, type=words.Orders).orders[0]
    with pytest.raises(words.Unreadable):
        words.report(told)


class TestSimulated:
    """What a demo needs to trade on the simulated exchange."""

    def test_an_account_of_the_exchange_is_asked_for_by_name(self, exchange: SimExchange) -> None:
        access = simulated.access(exchange.rest_url)
        account = exchange.account()
        assert (access.address, access.key, access.secret) == (exchange.rest_url, account["key"], account["pem"])
        shared = simulated.shared_secret(access)
        assert (shared.key, shared.secret, shared.passphrase) == (account["key"], account["secret"], "")
        with pytest.raises(BrokerRefused, match="nobody"):
            simulated.access(exchange.rest_url, "nobody")
        with pytest.raises(BrokerBusy):
            simulated.access("http://127.0.0.1:9")

    def test_the_address_is_where_the_prices_come_from(self, settings: Any) -> None:
        settings.SIMULATE, settings.COINBASE_REST_URL = False, "http://127.0.0.1:4711"
        assert simulated.address() == "http://127.0.0.1:4711"
        settings.COINBASE_REST_URL = "https://api.exchange.coinbase.com"
        with pytest.raises(BrokerRefused):
            simulated.address()


def test_a_stop_limit_protects_while_nobody_is_here(broker: CoinbaseAdvanced, exchange: SimExchange) -> None:
    broker.place(ticket("e1-1"))
    terms = {"kind": STOP_LIMIT, "stop_price": Decimal(90), "limit_price": Decimal(80), "buy": False}
    broker.place(ticket("p1-1", **terms))
    exchange.push("BTC-USD", "89.00")
    report = eventually(lambda: broker.find("p1-1"), lambda each: each and each.status is OrderStatus.FILLED)
    assert report is not None
    assert (report.stop_price, report.executions[0].price) == (Decimal(90), Decimal("88.99"))
