"""Each fault as it looks to a client that sees every byte."""

import time
from datetime import UTC, datetime

import pytest
import requests

from apps.simulator.exchange import SimExchange
from tests.simulator.wireclient import CLOSE, PING, PONG, Silence, WireClient, ids, push, unsent

# The connection


def test_drop_is_a_reset_without_a_close_frame(exchange, client):
    exchange.fault("drop")
    with pytest.raises(ConnectionResetError):
        client.frame()
    with WireClient(exchange.port) as again:
        again.listen("ticker")


def test_close_sends_code_and_reason_and_ends(exchange, client):
    exchange.fault("close", code=1012, reason="service restart")
    assert client.close_frame() == (1012, "service restart")
    client.send_frame(CLOSE, (1012).to_bytes(2, "big"))
    with pytest.raises(ConnectionAbortedError):
        client.frame()


def test_close_ends_the_socket_even_when_the_client_does_not_answer(exchange, client):
    exchange.fault("close")
    assert client.close_frame() == (1001, "going away")
    with pytest.raises(ConnectionError):
        client.frame(timeout=3)


def test_slow_close_keeps_the_socket_open_after_the_close_frame(exchange, client):
    exchange.fault("slow_close", seconds=1.2)
    began = time.monotonic()
    assert client.close_frame()[0] == 1001
    client.send_frame(CLOSE, (1001).to_bytes(2, "big"))
    with pytest.raises(ConnectionAbortedError):
        client.frame()
    assert 1.0 < time.monotonic() - began < 3


def test_stall_sends_nothing_and_ignores_pings_until_it_is_over(exchange, client):
    exchange.fault("stall", seconds=1.0)
    lost = push(exchange, "60000.00")
    client.send_frame(PING, b"alive?")
    assert client.silent_for(0.6)
    assert client.frame() == (PONG, b"alive?")
    after = push(exchange, "60001.00")
    assert ids(client, 1) == after
    assert unsent(exchange) == [[*lost, *lost, "nobody listened"]]


def test_a_stall_without_end_lasts_but_a_new_connection_is_served(exchange, client):
    exchange.fault("stall")
    with WireClient(exchange.port) as fresh:
        fresh.listen("ticker")
        made = push(exchange, "60000.00")
        assert ids(fresh, 1) == made
    assert client.silent_for(0.5)
    assert unsent(exchange) == []


def test_stall_keep_pong_answers_pings_but_sends_no_data(exchange, client):
    exchange.fault("stall_keep_pong", seconds=5)
    push(exchange, "60000.00")
    client.send_frame(PING, b"1")
    assert client.frame() == (PONG, b"1")
    assert client.silent_for(0.3)


def test_stall_mid_frame_stops_inside_a_frame_and_ends_it_when_it_is_over(exchange, client):
    exchange.fault("stall_mid_frame", seconds=1.0)
    first = push(exchange, "60000.00")
    with pytest.raises(Silence):
        client.frame(timeout=0.4)
    assert client.buffer[:2] == b"\x81\x7e"
    half = len(client.buffer)
    client.send_frame(PING, b"alive?")
    with pytest.raises(Silence):
        client.frame(timeout=0.2)
    assert len(client.buffer) == half
    assert client.message()["trade_id"] == first[0]
    assert client.frame() == (PONG, b"alive?")


def test_no_handshake_leaves_upgrades_unanswered(exchange):
    exchange.fault("no_handshake", count=1)
    with WireClient(exchange.port, upgrade=False) as mute:
        mute.send_upgrade()
        assert mute.silent_for(0.5)
    with WireClient(exchange.port):
        pass


@pytest.mark.parametrize("status", [429, 503])
def test_http_status_refuses_upgrades(exchange, status):
    exchange.fault("http_status", status=status, count=2)
    for _ in range(2):
        with WireClient(exchange.port, upgrade=False) as refused:
            refused.send_upgrade()
            assert refused.read_head().startswith(f"HTTP/1.1 {status} ")
    with WireClient(exchange.port):
        pass


# The stream


def test_quiet_leaves_heartbeats_only():
    with SimExchange(products="BTC-USD", rate=200) as exchange, WireClient(exchange.port) as client:
        client.listen("ticker", "heartbeat")
        exchange.fault("quiet", seconds=2.8)
        before = exchange.journal()["trades"]
        client.of_type("heartbeat")
        assert client.message()["type"] == "heartbeat"
        assert exchange.journal()["trades"] == before
        assert len(client.of_type("ticker", count=20)) == 20


def test_gap_loses_trades_that_rest_can_give_back(exchange, client):
    exchange.fault("gap", count=2)
    made = push(exchange, "60000.00", "60001.00", "60002.00")
    assert ids(client, 1) == made[2:]
    assert unsent(exchange) == [[made[0], made[1], "gap"]]
    rows = requests.get(exchange.rest_url + "/products/BTC-USD/trades?limit=3", timeout=5).json()
    assert [row["trade_id"] for row in rows] == made[::-1]
    assert exchange.journal()["faults"][0]["trade_ids"] == {"BTC-USD": made[:2]}


def test_a_gap_may_concern_one_product_only(exchange):
    with WireClient(exchange.port) as client:
        client.listen("ticker", products=["BTC-USD", "ETH-USD"])
        exchange.fault("gap:1,ETH-USD")
        btc, eth = push(exchange, "60000.00"), push(exchange, "3000.00", "3001.00", symbol="ETH-USD")
        assert ids(client, 2) == [btc[0], eth[1]]


def test_duplicate_sends_twice(exchange, client):
    exchange.fault("duplicate")
    a, b = push(exchange, "60000.00", "60001.00")
    assert ids(client, 3) == [a, a, b]


def test_reorder_shuffles_and_loses_nothing(exchange, client):
    exchange.fault("reorder", count=4)
    made = push(exchange, *(f"{60_000 + i}.00" for i in range(5)))
    got = ids(client, 5)
    assert got[:4] != made[:4]
    assert sorted(got) == made
    assert got[4] == made[4]
    assert unsent(exchange) == []


def test_replay_old_repeats_the_last_trades(exchange, client):
    made = push(exchange, "60000.00", "60001.00", "60002.00")
    exchange.fault("replay_old", count=2)
    assert ids(client, 5) == [*made, *made[1:]]


def test_off_market_is_a_real_trade_far_from_its_quote(exchange, client):
    push(exchange, "60000.00")
    exchange.fault("off_market", percent=-2.0)
    usual, odd = client.of_type("ticker", count=2)
    assert (odd["price"], odd["trade_id"]) == ("58800.00", usual["trade_id"] + 1)
    assert odd["best_bid"] == usual["best_bid"]
    assert exchange.journal()["products"]["BTC-USD"]["off_market"] == [odd["trade_id"]]


def test_crossed_and_zero_bid_bend_the_quote_for_so_many_trades(exchange, client):
    exchange.fault("crossed")
    push(exchange, "60000.00")
    exchange.fault("zero_bid")
    push(exchange, "60001.00", "60002.00")
    crossed, zero, fine = client.of_type("ticker", count=3)
    assert float(crossed["best_bid"]) > float(crossed["best_ask"])
    assert zero["best_bid"] == "0"
    assert float(fine["best_bid"]) < float(fine["best_ask"])


def test_clock_skew_shifts_every_time_until_it_is_set_right(exchange, client):
    client.subscribe("heartbeat")
    exchange.fault("clock_skew", offset=-90)
    push(exchange, "60000.00")
    stamps = [client.of_type("ticker")[0]["time"], client.of_type("heartbeat")[0]["time"]]
    stamps.append(requests.get(exchange.rest_url + "/time", timeout=5).json()["iso"])
    stamps.append(requests.get(exchange.rest_url + "/products/BTC-USD/trades?limit=1", timeout=5).json()[0]["time"])
    for stamp in stamps:
        assert (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds() == pytest.approx(90, abs=3)
    exchange.fault("clock_skew", offset=0)
    push(exchange, "60001.00")
    right = client.of_type("ticker")[0]["time"]
    assert (datetime.now(UTC) - datetime.fromisoformat(right)).total_seconds() < 3


def test_burst_trades_at_its_rate_and_then_stops():
    with SimExchange(products="BTC-USD", rate=10) as exchange, WireClient(exchange.port) as client:
        client.listen("ticker")
        before = exchange.journal()["trades"]
        exchange.fault("burst", rate=3000, seconds=1)
        time.sleep(1.3)
        during = exchange.journal()["trades"] - before
        time.sleep(0.5)
        assert 1500 < during < 4500
        assert exchange.journal()["trades"] - before - during < 60


# Acknowledgements


def test_ack_missing_subscribes_without_a_word(exchange):
    exchange.fault("ack_missing")
    with WireClient(exchange.port) as client:
        client.send({"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["ticker"]})
        assert client.message()["type"] == "ticker"
        made = push(exchange, "60000.00")
        assert ids(client, 1) == made
        assert client.subscribe("matches")["type"] == "subscriptions"


def test_ack_partial_leaves_one_product_out(exchange):
    exchange.fault("ack_partial")
    with WireClient(exchange.port) as client:
        ack = client.subscribe("ticker", products=["BTC-USD", "ETH-USD"])
        assert ack["channels"] == [{"name": "ticker", "product_ids": ["BTC-USD"]}]
        client.of_type("ticker")
        push(exchange, "3000.00", symbol="ETH-USD")
        assert client.silent_for(0.3)
