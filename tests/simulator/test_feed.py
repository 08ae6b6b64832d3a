"""What a client of the feed gets: acknowledgements, snapshots, heartbeats, errors, and the exchange's limits."""

import json
import time
from datetime import UTC, datetime

import pytest

from apps.simulator import subscriptions
from apps.simulator.exchange import SimExchange
from tests.simulator.wireclient import CLOSE, PING, PONG, TEXT, WireClient


@pytest.fixture
def exchange():
    with SimExchange(products="BTC-USD,ETH-USD,SOL-USD", rate=None) as running:
        yield running


@pytest.fixture
def client(exchange):
    with WireClient(exchange.port) as connected:
        yield connected


def channels(ack: dict) -> dict[str, set[str]]:
    assert ack["type"] == "subscriptions", ack
    return {row["name"]: set(row["product_ids"]) for row in ack["channels"]}


def test_channels_may_be_texts_or_objects_and_products_may_stand_at_the_root(client):
    client.send(
        {
            "type": "subscribe",
            "product_ids": ["BTC-USD"],
            "channels": ["heartbeat", {"name": "ticker", "product_ids": ["ETH-USD", "SOL-USD"]}, {"name": "matches"}],
        }
    )
    assert channels(client.message()) == {
        "heartbeat": {"BTC-USD"},
        "ticker": {"ETH-USD", "SOL-USD"},
        "matches": {"BTC-USD"},
    }


def test_every_answer_shows_the_whole_set(client):
    client.subscribe("ticker", products=["BTC-USD"])
    assert channels(client.subscribe("matches", products=["ETH-USD"])) == {
        "ticker": {"BTC-USD"},
        "matches": {"ETH-USD"},
    }
    client.send({"type": "unsubscribe", "product_ids": ["BTC-USD"], "channels": ["ticker"]})
    assert channels(client.of_type("subscriptions")[0]) == {"matches": {"ETH-USD"}}
    client.send({"type": "unsubscribe", "channels": ["matches"]})
    assert channels(client.of_type("subscriptions")[0]) == {}


def test_after_unsubscribing_nothing_comes_any_more(exchange, client):
    client.listen("ticker")
    exchange.push("BTC-USD", "60000.00")
    assert client.message()["price"] == "60000.00"
    client.send({"type": "unsubscribe", "product_ids": ["BTC-USD"], "channels": ["ticker"]})
    client.of_type("subscriptions")
    exchange.push("BTC-USD", "60001.00")
    assert client.silent_for(0.3)


def test_the_first_ticker_and_match_are_the_last_trade_with_its_old_time(exchange, client):
    trade_id = exchange.push("BTC-USD", "60000.00")
    time.sleep(0.3)
    ticker, match = client.listen("ticker", "matches")
    assert (ticker["type"], match["type"]) == ("ticker", "last_match")
    assert ticker["trade_id"] == match["trade_id"] == trade_id
    age = datetime.now(UTC) - datetime.fromisoformat(ticker["time"])
    assert 0.3 <= age.total_seconds() < 5
    assert exchange.push("BTC-USD", "60001.00") == client.message()["trade_id"] == trade_id + 1


def test_last_trades_of_a_fresh_exchange_are_up_to_minutes_old():
    with SimExchange(products="50", rate=None) as exchange, WireClient(exchange.port) as client:
        products = list(exchange.journal()["products"])
        tickers = client.listen("ticker", products=products)
        ages = sorted(time.time() - datetime.fromisoformat(t["time"]).timestamp() for t in tickers)
    assert ages[0] >= 0.1
    assert 60 < ages[-1] < 110


def test_each_product_beats_every_second_with_its_last_trade(exchange, client):
    client.subscribe("heartbeat", products=["BTC-USD", "ETH-USD"])
    trade_id = exchange.push("ETH-USD", "3000.00")
    beats = client.of_type("heartbeat", count=6)
    assert [beat["product_id"] for beat in beats] == ["BTC-USD", "ETH-USD"] * 3
    assert beats[1]["last_trade_id"] == trade_id
    seconds = [datetime.fromisoformat(beat["time"]).timestamp() for beat in beats[::2]]
    assert seconds[2] - seconds[0] == pytest.approx(2.0, abs=0.25)


def test_status_lists_the_products(client):
    client.subscribe("status")
    (status,) = client.of_type("status")
    assert [row["id"] for row in status["products"]] == ["BTC-USD", "ETH-USD", "SOL-USD"]
    assert status["products"][0]["quote_increment"] == "0.01"


def test_ticker_batch_and_status_come_every_five_seconds(exchange, client):
    client.listen("ticker_batch")
    client.subscribe("status")
    client.of_type("status")
    exchange.push_many("BTC-USD", ["60000.00", "60001.00"])
    assert client.silent_for(0.5)
    assert {client.message(timeout=6)["type"], client.message()["type"]} == {"status", "ticker"}


@pytest.mark.parametrize(
    ("request_", "message", "reason"),
    [
        (
            {"type": "subscribe", "channels": ["heartbeat"]},
            "Failed to subscribe",
            "You need to specify at least one product ID for channel heartbeat",
        ),
        ({"type": "unsubscribe"}, "Failed to unsubscribe", "No channels provided"),
        ({"type": "subscribe", "product_ids": ["BTC-USD"]}, "Failed to subscribe", "No channels provided"),
        (
            {"type": "subscribe", "product_ids": ["XXX-USD"], "channels": ["ticker"]},
            "Failed to subscribe",
            "XXX-USD is not a valid product",
        ),
        (
            {"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["tickers"]},
            "Failed to subscribe",
            "tickers is not a valid channel",
        ),
        (
            {"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["user"]},
            "Failed to subscribe",
            "user channel requires authentication",
        ),
        (
            {"type": "subscribe", "product_ids": "BTC-USD", "channels": ["ticker"]},
            "Failed to subscribe",
            "product_ids has to be a list of product ids",
        ),
        (
            {"type": "subscribe", "product_ids": ["BTC-USD"], "channels": [7]},
            "Failed to subscribe",
            "Channel has to be a string or an object with a name",
        ),
        ({"type": "order"}, "Type has to be either subscribe or unsubscribe", None),
        (["ticker"], "Type has to be either subscribe or unsubscribe", None),
    ],
)
def test_a_wrong_request_gets_an_error_and_changes_nothing(request_, message, reason, client):
    client.send(request_)
    answer = client.message()
    assert (answer["type"], answer["message"], answer.get("reason")) == ("error", message, reason)
    assert channels(client.subscribe("ticker")) == {"ticker": {"BTC-USD"}}


def test_a_request_with_one_wrong_product_is_refused_as_a_whole():
    with pytest.raises(subscriptions.RefusedRequest):
        subscriptions.read(
            {"type": "subscribe", "product_ids": ["BTC-USD", "NO-USD"], "channels": ["ticker"]}, {"BTC-USD": 1}
        )


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe", b"NaN", b"[" * 5000])
def test_what_is_not_json_is_called_malformed(text, client):
    client.send_frame(TEXT, text)
    assert client.message() == {"type": "error", "message": "Malformed JSON"}


def test_pings_come_back_with_their_payload(client):
    client.send_frame(PING, b"anybody?")
    assert client.frame() == (PONG, b"anybody?")


def test_a_close_is_answered_with_the_same_code(client):
    client.send_frame(CLOSE, (1000).to_bytes(2, "big") + b"bye")
    assert client.frame() == (CLOSE, (1000).to_bytes(2, "big"))
    with pytest.raises(ConnectionAbortedError):
        client.frame()


def test_an_unmasked_frame_ends_the_connection(client):
    client.send_frame(TEXT, b"{}", masked=False)
    assert client.close_frame()[0] == 1002


def test_more_than_a_hundred_messages_in_a_second_end_the_connection(client):
    frame = {"type": "unsubscribe"}
    for _ in range(130):
        client.send(frame)
    errors = client.of_type("error", count=101)
    assert [e["message"] for e in errors[:100]] == ["Failed to unsubscribe"] * 100
    assert errors[100]["message"] == "Rate limit exceeded"
    assert client.close_frame()[0] == 1008


def test_who_does_not_subscribe_within_five_seconds_is_sent_away(client):
    began = time.monotonic()
    assert client.close_frame(timeout=7)[0] == 1008
    assert 4.8 < time.monotonic() - began < 6.5


def test_a_client_that_does_not_read_is_cut():
    with (
        SimExchange(products="BTC-USD", rate=5_000, slow_limit=300_000) as exchange,
        WireClient(exchange.port, receive_buffer=65_536) as slow,
    ):
        slow.subscribe("ticker")
        deadline = time.monotonic() + 20
        while not exchange.journal()["connections"]["cut"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert exchange.journal()["connections"]["cut"] == ["ErrSlowConsume"]


def test_the_error_reaches_a_slow_client_that_wakes_up():
    with (
        SimExchange(products="BTC-USD", rate=None, slow_limit=100_000) as exchange,
        WireClient(exchange.port, receive_buffer=65_536) as slow,
    ):
        slow.listen("ticker")
        for _ in range(40):
            exchange.push_many("BTC-USD", ["60000.00"] * 500)
            if exchange.journal()["connections"]["cut"]:
                break  # from here on the client has seconds to wake up
        messages = []
        while "ErrSlowConsume" not in messages:
            op, payload = slow.frame()
            assert op == TEXT
            messages.append(json.loads(payload).get("message"))
        assert slow.close_frame()[0] == 1008


def test_two_clients_get_the_same_bytes():
    with (
        SimExchange(products="BTC-USD", rate=500) as exchange,
        WireClient(exchange.port) as one,
        WireClient(exchange.port) as two,
    ):
        one.subscribe("ticker"), two.subscribe("ticker")
        first = {m["trade_id"]: m for m in one.of_type("ticker", count=200)}
        second = {m["trade_id"]: m for m in two.of_type("ticker", count=200)}
    shared = first.keys() & second.keys()
    assert len(shared) > 100
    assert all(first[i] == second[i] for i in shared)
