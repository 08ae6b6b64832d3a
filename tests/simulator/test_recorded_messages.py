"""Our messages beside recorded ones of the real exchange: same keys, order, types, and ways to write numbers."""

import gzip
import itertools
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
import requests

from apps.simulator.exchange import SimExchange
from tests.simulator.wireclient import WireClient

DATA = Path(__file__).parents[2] / "../shared/data"
recorded = pytest.mark.skipif(not DATA.exists(), reason="the recorded data is not on this machine")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture(scope="module")
def session() -> dict[str, list[dict]]:
    """The recorded session's messages by type."""
    found: dict[str, list[dict]] = {}
    with gzip.open(DATA / "captures/COINBASE.ws.28.0.gz", "rt") as lines:
        for line in lines:
            mark = re.match(r"\d+\.\d+: (\{.*)", line)
            if mark and "l2update" not in line[:60]:
                message = json.loads(mark[1])
                found.setdefault(message["type"], []).append(message)
    return found


@pytest.fixture(scope="module")
def ours() -> dict[str, list[dict]]:
    """Messages of a simulated session by type."""
    found: dict[str, list[dict]] = {}
    with SimExchange(rate=400) as exchange, WireClient(exchange.port) as client:
        client.send(
            {"type": "subscribe", "product_ids": ["BTC-USD", "XRP-USD"], "channels": ["ticker", "matches", "heartbeat"]}
        )
        while len(found.get("match", ())) < 200 or "heartbeat" not in found:
            message = client.message()
            found.setdefault(message["type"], []).append(message)
        client.send({"type": "unsubscribe"})
        found["error"] = client.of_type("error")
    return found


def shape(message: dict) -> list[tuple[str, str]]:
    return [(key, type(value).__name__) for key, value in message.items()]


@recorded
@pytest.mark.parametrize("kind", ["match", "last_match", "subscriptions"])
def test_keys_order_and_types_are_those_of_the_recorded_session(kind, session, ours):
    assert {str(shape(message)) for message in ours[kind]} == {str(shape(message)) for message in session[kind]}


@recorded
def test_the_ticker_is_the_recorded_one_plus_the_sizes_it_has_carried_since_2022(session, ours):
    older = [pair for pair in shape(ours["ticker"][0]) if pair[0] not in ("best_bid_size", "best_ask_size")]
    assert older == shape(session["ticker"][0])
    with gzip.open(next((DATA / "ticks").glob("btc-usd_ticker*")), "rt") as lines:
        newer = json.loads(lines.readline())["msg"]
    assert shape(ours["ticker"][0]) == shape(newer)


@recorded
@pytest.mark.parametrize(
    ("file", "kind"), [("benny_heartbeat_ETH-EUR.json", "heartbeat"), ("benny_ticker_unsubscribe-error.json", "error")]
)
def test_small_messages_have_the_recorded_fields(file, kind, ours):
    message = json.loads((DATA / "coinbase" / file).read_text())
    assert sorted(shape(ours[kind][0])) == sorted(shape(message))
    if kind == "error":
        assert ours[kind][0] == message


@recorded
def test_prices_and_volumes_are_written_like_recorded_ones(session, ours):
    """Trade prices and sizes drop trailing zeros, quotes keep theirs, volumes have eight decimals: in both."""
    for source in (session, ours):
        tickers, matches = source["ticker"], source["match"]
        dropped = [m[k] for m in tickers for k in ("price", "open_24h", "low_24h", "high_24h", "last_size")]
        dropped += [m[k] for m in matches for k in ("price", "size")]
        assert not [text for text in dropped if "." in text and text.endswith(("0", "."))]
        assert all(re.fullmatch(r"\d+\.\d{8}", m[k]) for m in tickers for k in ("volume_24h", "volume_30d"))
        for product in {m["product_id"] for m in tickers}:
            places = {len(m[k].split(".")[1]) for m in tickers if m["product_id"] == product for k in QUOTES}
            assert len(places) == 1, product


QUOTES = ("best_bid", "best_ask")


def test_a_trade_is_bought_on_the_ticker_and_sold_on_matches(ours):
    takers = {(m["product_id"], m["trade_id"]): m for m in ours["ticker"]}
    both = [(takers[key], m) for m in ours["match"] if (key := (m["product_id"], m["trade_id"])) in takers]
    assert len(both) > 100
    for ticker, match in both:
        assert {ticker["side"], match["side"]} == {"buy", "sell"}
        assert (ticker["price"], ticker["sequence"], ticker["time"]) == (
            match["price"],
            match["sequence"],
            match["time"],
        )


def test_ids_rise_by_one_and_sequences_by_two_to_two_thousand(ours):
    for product in ("BTC-USD", "XRP-USD"):
        tickers = [m for m in ours["ticker"] if m["product_id"] == product]
        steps = [b["sequence"] - a["sequence"] for a, b in itertools.pairwise(tickers)]
        assert [m["trade_id"] for m in tickers] == list(range(tickers[0]["trade_id"], tickers[-1]["trade_id"] + 1))
        assert min(steps) >= 2
        assert max(steps) <= 2000
        assert len(set(steps)) > 20


def test_times_are_utc_with_microseconds_and_quotes_surround_or_touch_the_price(ours):
    for message in ours["ticker"]:
        assert TIME.fullmatch(message["time"])
        bid, price, ask = (Decimal(message[key]) for key in ("best_bid", "price", "best_ask"))
        assert bid < ask
        assert price in (bid, ask)


@recorded
def test_rest_answers_have_the_recorded_fields():
    with SimExchange(rate=None) as exchange:

        def get(path):
            return requests.get(exchange.rest_url + path, timeout=5).json()

        trades = json.loads((DATA / "coinbase/benny_products_BTC-EUR_trades_GET-200.json").read_text())
        candles = json.loads((DATA / "coinbase/benny_products_BTC-USD_candles_GET-200.json").read_text())
        book = json.loads((DATA / "coinbase/benny_products_BTC-EUR_book_level-1.json").read_text())
        listed = json.loads((DATA / "captures/COINBASE.0").read_text().splitlines()[0].split(": ", 1)[1])
        ours_trades, ours_candles = get("/products/BTC-USD/trades"), get("/products/BTC-USD/candles?granularity=3600")
        assert {str(shape(row)) for row in ours_trades} == {str(shape(row)) for row in trades}
        assert all(re.fullmatch(r"\d+\.\d{8}", row[key]) for row in ours_trades + trades for key in ("price", "size"))
        assert {len(row) for row in ours_candles} == {len(row) for row in candles} == {6}
        assert set(book) <= set(get("/products/BTC-USD/book?level=1"))
        assert set(shape(listed[0])) <= set(shape(get("/products")[0]))
