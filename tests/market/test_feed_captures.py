"""Recorded bytes of the real venue pass decoder and gate without loss."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from apps.domain import feed_rules
from apps.market.feeds.base import FeedConfig, GateRules
from apps.market.feeds.coinbase import CoinbaseFeed
from apps.market.feeds.coinbase_rest import CoinbaseRest
from tests.market.following import Recorder, fates

DATA = Path(__file__).parents[3] / "shared" / "data"
CAPTURE = DATA / "captures" / "COINBASE.ws.28.0.gz"
recorded = pytest.mark.skipif(not DATA.exists(), reason="the recorded data is not part of the project")

PRODUCTS = (
    "SKL-USD", "SKL-BTC", "BAND-GBP", "NMR-EUR", "BAND-BTC", "YFI-BTC", "DASH-BTC", "NU-GBP", "CRV-EUR", "SKL-GBP",
)  # fmt: skip


def feed_of(*products: str) -> tuple[CoinbaseFeed, Recorder]:
    sink = Recorder()
    config = FeedConfig(ws_url="ws://127.0.0.1:1", rest_url="http://127.0.0.1:1", products=products, rules=GateRules())
    return CoinbaseFeed(config, sink), sink


def frames_of(path: Path) -> list[tuple[int, bytes]]:
    """Return (receive time in ns, payload) of every frame that the venue sent."""
    found = []
    with gzip.open(path, "rb") as file:
        for line in file:
            if line.startswith(b"wss://") or not line.strip():
                continue
            stamp, _, payload = line.rstrip(b"\n").partition(b": ")
            found.append((int(float(stamp) * 1e9), payload))
    return found


@recorded
def test_every_trade_of_the_recorded_session_comes_through() -> None:
    feed, sink = feed_of(*PRODUCTS)
    frames = frames_of(CAPTURE)
    for received_ns, payload in frames:
        feed.text(payload, received_ns)
    messages = [json.loads(payload) for _, payload in frames]
    tickers = [message for message in messages if message["type"] == "ticker"]
    kinds = Counter(message["type"] for message in messages)
    assert len(tickers) == 107
    assert [(tick.symbol, tick.trade_id, tick.text) for tick in sink.ticks] == [
        (message["product_id"], message["trade_id"], message["price"]) for message in tickers
    ]
    assert sink.gaps == []
    counters = feed.counters
    assert counters.received == len(frames) == 9946
    assert counters.garbage == counters.duplicates == counters.out_of_order == counters.bad_quotes == 0
    assert not counters.rejected
    assert counters.acknowledgements == kinds["subscriptions"] == 3
    assert counters.ignored == len(frames) - 107 - 3
    assert fates(feed) == counters.received


@recorded
def test_the_first_prices_of_the_recorded_session_are_replays_unless_they_are_young() -> None:
    feed, sink = feed_of(*PRODUCTS)
    ages: dict[str, float] = {}
    for received_ns, payload in frames_of(CAPTURE):
        feed.text(payload, received_ns)
        message = json.loads(payload)
        if message["type"] == "ticker" and message["product_id"] not in ages:
            venue_ns = feed_rules.instant_ns(message["time"])
            assert venue_ns is not None
            ages[message["product_id"]] = (received_ns - venue_ns) / 1e9
    assert max(ages.values()) > 100
    shown = {tick.symbol for tick in sink.ticks if tick.snapshot}
    assert shown == {symbol for symbol, age in ages.items() if age > 2}
    assert len(shown) == 7
    assert feed.counters.snapshots == len(shown)
    assert feed.counters.accepted == 107 - len(shown)


@recorded
@pytest.mark.parametrize(
    ("name", "product", "count"),
    [
        ("btc-usd_ticker_from_binance_usdm_20240808.jsonl.gz", "BTC-USD", 21_313),
        ("eth-usd_ticker_from_binance_spot_20240808_09.jsonl.gz", "ETH-USD", 14_515),
    ],
)
def test_recorded_ticks_come_through_without_loss(name: str, product: str, count: int) -> None:
    feed, sink = feed_of(product)
    expected = []
    with gzip.open(DATA / "ticks" / name, "rt") as file:
        for line in file:
            record = json.loads(line)
            expected.append(record["msg"]["trade_id"])
            feed.text(json.dumps(record["msg"], separators=(",", ":")).encode(), record["at_ns"])
    assert len(expected) == count
    assert [tick.trade_id for tick in sink.ticks] == expected
    assert sink.gaps == []
    assert not feed.counters.rejected
    assert feed.counters.accepted + feed.counters.snapshots == count
    assert all(repr(tick.price) == repr(float(tick.text)) for tick in sink.ticks)


@recorded
def test_a_recorded_print_off_the_market_is_marked() -> None:
    feed, sink = feed_of("BTC-USD")
    with gzip.open(DATA / "ticks" / "usdm_btcusdt_20230405.dat.gz", "rb") as file:
        for line in file:
            stamp, _, payload = line.partition(b" ")
            if b"@trade" not in payload:
                continue
            trade = json.loads(payload)["data"]
            message = {"type": "ticker", "product_id": "BTC-USD", "price": trade["p"], "trade_id": trade["t"]}
            feed.text(json.dumps(message).encode(), int(stamp) * 1000)
    marked = [tick.trade_id for tick in sink.ticks if tick.off_market]
    assert marked == [3535191080]
    assert not feed.counters.rejected
    assert len(sink.ticks) > 1000


@recorded
def test_single_recorded_messages_decode() -> None:
    feed, sink = feed_of("BTC-USD", "ETH-EUR")
    for name in ("ticker_BTC-USD", "heartbeat_ETH-EUR", "ticker_unsubscribe-error", "ticker_subscribe-success"):
        feed.text((DATA / "coinbase" / f"benny_{name}.json").read_bytes(), 1)
    assert [(tick.text, tick.bid, tick.ask) for tick in sink.ticks] == [("6800.00000000", "5200", "6800")]
    assert [symbol for symbol, _ in sink.beats] == ["ETH-EUR"]
    assert feed.counters.garbage == feed.counters.ignored == 0
    assert not sink.refusals


def test_a_client_of_the_venues_rest_interface_comes_with_the_feed() -> None:
    feed, _ = feed_of()
    rest = feed.rest()
    assert isinstance(rest, CoinbaseRest)
    rest.close()
