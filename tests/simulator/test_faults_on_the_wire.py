"""Each fault as it looks to a client that sees every byte."""

import json
import time
from datetime import UTC, datetime

import pytest
import requests

from apps.simulator import garbage
from apps.simulator.exchange import SimExchange
from tests.simulator.wireclient import BINARY, CLOSE, PING, PONG, TEXT, Silence, WireClient


@pytest.fixture
def exchange():
    with SimExchange(products="BTC-USD,ETH-USD", rate=None) as running:
        yield running


@pytest.fixture
def client(exchange):
    with WireClient(exchange.port) as connected:
        connected.listen("ticker")
        yield connected


def push(exchange, *prices, symbol="BTC-USD"):
    return exchange.push_many(symbol, list(prices))


def ids(client, count):
    return [m["trade_id"] for m in client.of_type("ticker", count=count)]


def unsent(exchange, product="BTC-USD"):
    return exchange.journal()["products"][product]["unsent"]


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


# Garbage


def test_garbage_frames_stand_beside_an_unharmed_stream(exchange, client):
    frames = {}
    for kind in garbage.FRAMES:
        exchange.fault("garbage", kind=kind)
        frames[kind] = client.frame()
    made = push(exchange, "60000.00")
    assert ids(client, 1) == made
    assert frames["binary"] == (BINARY, bytes(range(256)))
    assert frames["array"] == (TEXT, b'["ticker",1,2,3]')
    assert frames["empty"] == (TEXT, b"")
    assert len(frames["huge"][1]) > 5_000_000
    for kind, error in (("not_json", ValueError), ("bad_utf8", UnicodeDecodeError)):
        with pytest.raises(error):
            json.loads(frames[kind][1].decode())


@pytest.mark.parametrize(
    ("kind", "price"),
    [
        ("nan", '"NaN"'),
        ("null", "null"),
        ("negative", '"-1.50"'),
        ("zero", '"0"'),
        ("1e400", '"1e400"'),
        ("1e5", '"1e5"'),
        ("long", '"123456789012345678901234567890"'),
    ],
)
def test_a_garbled_price_replaces_the_true_one_of_the_next_trade(exchange, client, kind, price):
    exchange.fault("garbage", kind=kind)
    made = push(exchange, "60000.00", "60001.00")
    _, payload = client.frame()
    assert f'"price":{price},' in payload.decode()
    assert f'"trade_id":{made[0]}' in payload.decode()
    assert client.message()["price"] == "60001.00"
    assert unsent(exchange) == [[made[0], made[0], "garbage"]]


def test_a_missing_field_is_missing(exchange, client):
    exchange.fault("garbage", kind="missing_field")
    push(exchange, "60000.00")
    message = client.message()
    assert message["type"] == "ticker"
    assert "price" not in message


def test_all_kinds_of_garbage_come_once_each(exchange, client):
    exchange.fault("garbage")
    made = push(exchange, *(f"{60_000 + i}.00" for i in range(len(garbage.MUTATIONS) + 1)))
    for _ in garbage.FRAMES:
        client.frame()
    payloads = [client.frame()[1] for _ in made]
    assert sum(b'"price":"600' in payload for payload in payloads) == 1
    assert unsent(exchange) == [[made[0], made[-2], "garbage"]]


# REST


def test_rate_limit_answers_429_for_a_while(exchange):
    exchange.fault("rate_limit", seconds=0.5)
    answer = requests.get(exchange.rest_url + "/time", timeout=5)
    assert answer.status_code == 429
    assert answer.json() == {"message": "Public rate limit exceeded"}
    assert answer.headers["Retry-After"] == "1"
    time.sleep(0.6)
    assert requests.get(exchange.rest_url + "/time", timeout=5).status_code == 200


def test_rest_status_and_rest_silence(exchange):
    exchange.fault("rest_status", status=502, count=1)
    answer = requests.get(exchange.rest_url + "/time", timeout=5)
    assert answer.status_code == 502
    with pytest.raises(ValueError):
        answer.json()
    exchange.fault("rest_silence")
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(exchange.rest_url + "/time", timeout=0.5)
    assert requests.get(exchange.rest_url + "/time", timeout=5).status_code == 200


# Ordering faults


def test_clear_ends_stalls_and_everything_switched_on(exchange, client):
    for text in ("reorder:5", "gap:100", "rate_limit:60", "ack_missing:9", "stall"):
        exchange.fault(text)
    exchange.fault("clear")
    made = push(exchange, "60000.00")
    assert ids(client, 1) == made
    assert requests.get(exchange.rest_url + "/time", timeout=5).status_code == 200
    assert client.subscribe("matches")["type"] == "subscriptions"


def test_faults_can_be_planned_for_a_second_and_for_a_trade():
    faults = ("gap@3t:1", "close@1.0:1012,planned")
    with SimExchange(products="BTC-USD", rate=None, faults=faults) as exchange, WireClient(exchange.port) as client:
        client.listen("ticker")
        made = push(exchange, *(f"{60_000 + i}.00" for i in range(4)))
        assert ids(client, 3) == [made[0], made[1], made[3]]
        assert client.close_frame() == (1012, "planned")
        first, second = exchange.journal()["faults"]
        assert (first["fault"], second["fault"]) == ("gap", "close")
        assert second["at_seconds"] == pytest.approx(1.0, abs=0.3)


def test_faults_are_ordered_and_listed_over_http(exchange, client):
    url = exchange.rest_url + "/_sim/faults"
    assert requests.post(url, json={"fault": "gap", "count": 1}, timeout=5).json()["status"] == "executed"
    assert requests.post(url, json={"fault": "drop@999"}, timeout=5).json()["status"] == "planned"
    assert requests.post(url, json={"fault": "gap", "args": {"count": 1}}, timeout=5).json()["args"]["count"] == 1
    made = push(exchange, "60000.00", "60001.00", "60002.00")
    assert ids(client, 1) == made[2:]
    listed = requests.get(url, timeout=5).json()
    assert {"drop", "stall", "garbage"} <= {row["fault"] for row in listed["catalogue"]}
    assert listed["waiting"] == [{"fault": "drop", "args": {}, "at_seconds": 999.0}]
    assert [row["fault"] for row in listed["executed"]] == ["gap", "gap"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"fault": "explode"}, "is unknown"),
        ({"fault": "gap", "count": -1}, "count must be at least 1"),
        ({"fault": "gap", "count": True}, "count must be"),
        ({"fault": "gap", "product": "NO-USD"}, "'NO-USD' is not a valid product"),
        ({"fault": "garbage", "kind": "x"}, "garbage 'x' is unknown"),
        ({"fault": "gap", "args": 3}, "args must be an object"),
        ({}, "fault is missing"),
        ([], "must be a JSON object"),
    ],
)
def test_wrong_orders_are_refused_and_not_journalled(exchange, body, words):
    answer = requests.post(exchange.rest_url + "/_sim/faults", json=body, timeout=5)
    assert answer.status_code == 400
    assert words in answer.json()["message"]
    assert exchange.journal()["faults"] == []
