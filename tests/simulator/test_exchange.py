"""The exchange as a whole: starting, stopping, scripted prices, truth, repeatability, throughput."""

import itertools
import json
import socket
import threading
import time
from decimal import Decimal

import pytest

from apps.simulator.exchange import CannotListen, SimExchange
from tests.simulator.wireclient import TEXT, Silence, WireClient


def test_it_listens_when_the_block_begins_and_is_gone_when_it_ends():
    before = threading.active_count()
    with SimExchange(rate=None) as exchange:
        assert exchange.ws_url == f"ws://127.0.0.1:{exchange.port}"
        assert exchange.rest_url == f"http://127.0.0.1:{exchange.port}"
        client = WireClient(exchange.port)
        began = time.monotonic()
    assert time.monotonic() - began < 1
    assert client.close_frame()[0] == 1001
    client.sock.close()
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", exchange.port), timeout=1)
    with pytest.raises(RuntimeError, match="not running"):
        exchange.journal()


def test_the_same_port_can_be_used_again_at_once():
    with SimExchange(rate=None) as first, WireClient(first.port) as client:
        client.listen("ticker")
        first.fault("drop")
    with SimExchange(rate=None, port=first.port) as second:
        assert second.port == first.port


def test_one_can_wait_for_a_listener():
    with SimExchange(products="BTC-USD", rate=None) as exchange, WireClient(exchange.port) as client:
        with pytest.raises(TimeoutError, match="nobody listens to BTC-USD"):
            exchange.wait_for_listener("BTC-USD", within=0.05)
        client.send({"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["ticker"]})
        exchange.wait_for_listener("BTC-USD")
        assert exchange.journal()["listeners"] == {"BTC-USD": 1}


def test_stalled_and_unread_connections_do_not_hold_up_the_stop():
    with SimExchange(products="BTC-USD", rate=None, slow_limit=10**9) as exchange:
        stalled, unread = WireClient(exchange.port), WireClient(exchange.port, receive_buffer=65_536)
        stalled.subscribe("ticker"), unread.subscribe("ticker")
        for _ in range(20):
            exchange.push_many("BTC-USD", ["60000.00"] * 1000)
        exchange.fault("stall")
        began = time.monotonic()
    assert time.monotonic() - began < 1
    stalled.sock.close(), unread.sock.close()


def test_a_taken_port_is_refused_in_one_sentence():
    with SimExchange(rate=None) as first, pytest.raises(CannotListen, match=f"cannot listen on 127.0.0.1:{first.port}"):
        SimExchange(rate=None, port=first.port).start()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": "0.0.0.0"}, "not loopback"),
        ({"host": "example.com"}, "host must be an IP address"),
        ({"port": 70_000}, "port must be between 0 and 65535"),
        ({"rate": -1.0}, "rate must be between"),
        ({"rate": float("nan")}, "rate must be between"),
        ({"volatility": float("inf")}, "volatility must be between"),
        ({"speed": -1.0}, "speed must be between"),
        ({"seed": -1}, "seed must be between"),
        ({"faults": ["bang"]}, "fault 'bang' is unknown"),
        ({"prices": {"XXX-USD": "1"}}, "'XXX-USD' is not one of the products"),
        ({"prices": {"BTC-USD": "0"}}, "prices: BTC-USD must be a positive decimal"),
    ],
)
def test_wrong_settings_are_refused_before_anything_starts(settings, words):
    with pytest.raises(ValueError, match=words):
        SimExchange(**settings)


def test_pushed_prices_arrive_exactly_and_in_order_from_any_thread():
    with SimExchange(products="BTC-USD", rate=None) as exchange, WireClient(exchange.port) as client:
        client.listen("ticker")
        pushed: dict[int, str] = {}

        def push(number: int) -> None:
            for i in range(50):
                price = f"{100 + number}.{i:02d}"
                pushed[exchange.push("BTC-USD", price, size="0.5", side="sell")] = price

        threads = [threading.Thread(target=push, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        got = client.of_type("ticker", count=200)
    ids = [m["trade_id"] for m in got]
    assert ids == sorted(pushed) == list(range(ids[0], ids[0] + 200))
    assert {m["trade_id"]: m["price"] for m in got} == pushed
    assert {(m["side"], m["last_size"]) for m in got} == {("sell", "0.5")}


def test_a_push_may_bring_its_quote_and_the_walk_goes_on_from_it():
    with SimExchange(products="BTC-USD", rate=400) as exchange, WireClient(exchange.port) as client:
        client.listen("ticker")
        trade_id = exchange.push("BTC-USD", "100.00", bid="99.50", ask="100.50")
        rows = client.of_type("ticker", count=300)
    at = next(i for i, m in enumerate(rows) if m["trade_id"] == trade_id)
    assert (rows[at]["price"], rows[at]["best_bid"], rows[at]["best_ask"]) == ("100.00", "99.50", "100.50")
    assert all(95 < float(m["price"]) < 105 for m in rows[at:])


@pytest.mark.parametrize("bad", [("NO-USD", "1"), ("BTC-USD", "0"), ("BTC-USD", "\uff11"), ("BTC-USD", "1e3")])
def test_a_wrong_push_is_refused(bad):
    with SimExchange(products="BTC-USD", rate=None) as exchange, pytest.raises(ValueError):
        exchange.push(*bad)


def test_prices_may_be_given_for_the_start():
    settings = {"products": "BTC-USD,ETH-USD", "prices": {"BTC-USD": "123.45"}, "rate": None}
    with SimExchange(**settings) as exchange, WireClient(exchange.port) as client:
        old = client.listen("ticker")[0]
    assert float(old["price"]) == pytest.approx(123.45, rel=0.05)


def test_the_same_seed_gives_the_same_stream_and_another_seed_another():
    def run(seed: int) -> list[tuple]:
        with SimExchange(seed=seed, rate=0) as exchange, WireClient(exchange.port) as client:
            products = list(exchange.journal()["products"])
            client.subscribe("ticker", products=products)
            rows = client.of_type("ticker", count=508)
        keys = ("product_id", "trade_id", "sequence", "price", "last_size", "side", "best_bid", "best_ask_size")
        return [tuple(m[k] for k in keys) for m in rows]

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_trades_received_and_trades_unsent_are_all_trades():
    """The truth test every client can be held to: what came plus what the journal calls unsent is what happened."""
    received: set[tuple[str, int]] = set()
    with SimExchange(products="BTC-USD,ETH-USD", rate=2_000) as exchange:
        with WireClient(exchange.port) as client:
            client.listen("ticker", products=["BTC-USD", "ETH-USD"])
            for fault in ("gap:7", "duplicate:5", "reorder:6", "gap:3,ETH-USD", "garbage"):
                exchange.fault(fault)
                time.sleep(0.1)
            exchange.fault("quiet:1")  # a reset loses what is under way, so nothing should be
            read_until_silent(client, received)
            exchange.fault("drop")
        time.sleep(1.2)
        with WireClient(exchange.port) as client:
            client.listen("ticker", products=["BTC-USD", "ETH-USD"])
            time.sleep(0.2)
            exchange.fault("quiet:60")
            read_until_silent(client, received)
            truth = exchange.journal()
    for product, ledger in truth["products"].items():
        got = {trade_id for name, trade_id in received if name == product and trade_id >= ledger["first_trade_id"]}
        lost = set(itertools.chain.from_iterable(range(a, b + 1) for a, b, _ in ledger["unsent"]))
        assert got.isdisjoint(lost)
        assert got | lost == set(range(ledger["first_trade_id"], ledger["last_trade_id"] + 1))
        assert {why for _, _, why in ledger["unsent"]} == {"nobody listened", "gap", "garbage"}


def read_until_silent(client: WireClient, received: set[tuple[str, int]]) -> None:
    """Collect proper tickers; garbage of all kinds may stand between them."""
    while True:
        try:
            _, payload = client.frame(timeout=0.4)
            message = json.loads(payload)
            if Decimal(message["price"]) > 10 and "e" not in message["price"] and len(message["price"]) < 20:
                received.add((message["product_id"], message["trade_id"]))
        except Silence:
            return
        except (ValueError, TypeError, KeyError, ArithmeticError):
            continue


def test_a_rate_is_kept():
    with SimExchange(rate=2_000) as exchange:
        time.sleep(0.2)
        before, began = exchange.journal()["trades"], time.monotonic()
        time.sleep(1.0)
        rate = (exchange.journal()["trades"] - before) / (time.monotonic() - began)
    assert rate == pytest.approx(2_000, rel=0.2)


def test_unpaced_trades_wait_for_the_client_and_none_is_lost():
    with (
        SimExchange(products="BTC-USD", rate=0) as exchange,
        WireClient(exchange.port, receive_buffer=65_536) as client,
    ):
        client.listen("ticker")
        count, deadline = -1, time.monotonic() + 10
        while count != (count := exchange.journal()["trades"]):
            assert time.monotonic() < deadline, "production goes on although the client does not read"
            time.sleep(0.4)
        ids = [m["trade_id"] for m in client.of_type("ticker", count=count, timeout=20)]
        assert ids == list(range(ids[0], ids[0] + count))


def test_it_pushes_tens_of_thousands_of_tickers_a_second():
    """A low bar, so that a busy machine passes; `benchmarks` has the figure."""
    with SimExchange(rate=0) as exchange, WireClient(exchange.port, receive_buffer=4 << 20) as client:
        client.subscribe("ticker", products=list(exchange.journal()["products"]))
        began, count, tail = time.monotonic(), 0, b""
        while time.monotonic() - began < 1.0:
            chunk = client.sock.recv(1 << 20)
            count += (tail + chunk).count(b'"type":"ticker"')
            tail = chunk[-14:]
    assert count > 10_000


def test_a_message_in_pieces_is_read_whole():
    with SimExchange(rate=None) as exchange, WireClient(exchange.port) as client:
        client.send_frame(TEXT, b'{"type":"subscribe","product_ids":["BTC-', first=0)
        client.send_frame(0, b'USD"],"channels":["ticker"]}')
        assert client.message()["type"] == "subscriptions"
