"""Somebody else's client trades on the simulated exchange: ccxt's reading of Advanced Trade, tokens included."""

import ccxt
import pytest

from apps.simulator.exchange import SimExchange


class Loopback(ccxt.coinbase):
    """ccxt signs for an address without scheme, and takes off https only."""

    def create_auth_token(self, seconds, method=None, url=None, *more):
        return super().create_auth_token(seconds, method, url and url.replace("http://", "https://"), *more)


MARKET = {
    "id": "BTC-USD", "symbol": "BTC/USD", "base": "BTC", "quote": "USD", "baseId": "BTC", "quoteId": "USD",
    "type": "spot", "spot": True, "active": True, "contract": False, "swap": False, "future": False, "option": False,
    "margin": False, "taker": 0.002, "maker": 0.001, "precision": {"price": 0.01, "amount": 1e-8},
    "limits": {"amount": {}, "price": {}, "cost": {}},
}  # fmt: skip


@pytest.fixture
def exchange():
    with SimExchange(products="BTC-USD=100.00", rate=None) as running:
        running.push("BTC-USD", "100.00")
        yield running


@pytest.fixture
def peer(exchange):
    account = exchange.open_account("peer", {"USD": "1000", "BTC": "2"})
    client = Loopback({"apiKey": account["key"], "secret": account["pem"], "timeout": 3000})
    client.session.trust_env = False
    client.urls["api"]["rest"] = exchange.rest_url
    client.set_markets({"BTC/USD": MARKET})
    yield client
    client.session.close()


def test_a_limit_order_lives_and_ends_as_the_peer_expects(peer):
    placed = peer.create_order("BTC/USD", "limit", "buy", 1, 90, {"client_order_id": "peer-1"})
    assert peer.fetch_order(placed["id"])["status"] == "open"
    (listed,) = peer.fetch_open_orders("BTC/USD")
    assert (listed["clientOrderId"], listed["price"], listed["amount"]) == ("peer-1", 90.0, 1.0)
    peer.edit_order(placed["id"], "BTC/USD", "limit", "buy", 2, 91)
    assert peer.fetch_order(placed["id"])["amount"] == 2.0
    assert [each["id"] for each in peer.cancel_orders([placed["id"]])] == [placed["id"]]
    assert peer.fetch_order(placed["id"])["status"] == "canceled"


def test_fills_fees_and_balances_are_read_by_the_peer(peer):
    bought = peer.create_order("BTC/USD", "market", "sell", 1, None, {"client_order_id": "peer-2"})
    order = peer.fetch_order(bought["id"])
    assert (order["status"], order["average"], order["filled"]) == ("closed", 99.99, 1.0)
    (trade,) = peer.fetch_my_trades("BTC/USD")
    assert (trade["order"], trade["price"], trade["side"]) == (bought["id"], 99.99, "sell")
    assert trade["fee"] == {"currency": "USD", "cost": 0.19998}
    assert peer.fetch_balance({"v3": True})["BTC"]["total"] == 1.0


def test_a_refusal_is_one_for_the_peer_too(peer):
    with pytest.raises(ccxt.InsufficientFunds):
        peer.create_order("BTC/USD", "limit", "buy", 1000, 90, {"client_order_id": "peer-3"})
