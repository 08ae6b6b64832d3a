"""Recorded bytes of the real venues pass decoder and gate without loss."""

import gzip
import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.domain import feed_rules
from apps.market.feeds import FEEDS
from apps.market.feeds.base import FeedConfig
from apps.market.feeds.binance_rest import BinanceRest
from apps.market.feeds.coinbase_advanced_rest import AdvancedRest
from apps.market.feeds.kraken_rest import KrakenRest
from apps.market.feeds.streaming import StreamingFeed
from tests.market.answering import answering
from tests.market.following import Recorder, fates

DATA = Path(__file__).parents[3] / "shared" / "data"
CAPTURES = DATA / "captures"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the recorded data is not part of the project")


def feed_of(name: str, *products: str, **options: str) -> tuple[StreamingFeed, Recorder]:
    sink = Recorder()
    config = FeedConfig(ws_url="ws://127.0.0.1:1", rest_url="http://127.0.0.1:1", products=products, options=options)
    feed = FEEDS.get(name)(config, sink)
    assert isinstance(feed, StreamingFeed)
    feed.opened(lambda text: None)
    return feed, sink


def opened(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        yield from (line.rstrip(b"\n") for line in file if line.strip())


def frames_of(path: Path) -> list[tuple[int, bytes]]:
    """Return (receive time in ns, payload) of every frame that the venue sent in a session file."""
    found = []
    for line in opened(path):
        if not line.startswith(b"wss://"):
            stamp, _, payload = line.partition(b": ")
            found.append((int(float(stamp) * 1e9), payload))
    return found


@pytest.mark.parametrize(
    ("name", "products", "trades", "others"),
    [
        ("BINANCE.ws.1.0", ("NKNUSDT", "BLZETH", "LRCBTC", "RUNEEUR"), 2, 177 + 84 + 2),
        ("BINANCE_US.ws.1.0", ("CRVUSDT", "COMPUSDT", "OMGBUSD", "ZRXUSDT"), 11, 336 + 128 + 5),
    ],
)
def test_a_binance_session(name: str, products: tuple[str, ...], trades: int, others: int) -> None:
    feed, sink = feed_of("binance", *products)
    frames = frames_of(CAPTURES / name)
    for received_ns, payload in frames:
        feed.text(payload, received_ns)
    sent = [json.loads(payload)["data"] for _, payload in frames if b"@aggTrade" in payload]
    assert [(tick.symbol, tick.text, tick.trade_id, tick.size) for tick in sink.ticks] == [
        (data["s"], data["p"], data["l"], data["q"]) for data in sent
    ]
    assert len(sent) == trades
    assert [tick.side for tick in sink.ticks] == ["sell" if data["m"] else "buy" for data in sent]
    assert all(tick.bid and tick.ask for tick in sink.ticks if tick.symbol in {"OMGBUSD", "NKNUSDT"})
    assert feed.counters.ignored == others
    assert feed.counters.garbage == 0
    assert not feed.counters.rejected
    assert sink.gaps == []
    assert fates(feed) == feed.counters.received == len(frames)


def futures(name: str) -> Iterator[tuple[int, bytes]]:
    scale = 1 if name.startswith("usdm_btcusdt_2024") else 1000
    for line in opened(DATA / "ticks" / name):
        stamp, _, payload = line.partition(b" ")
        yield int(stamp) * scale, payload


def test_a_recorded_burst_of_the_futures_market() -> None:
    feed, sink = feed_of("binance", "BTCUSDT")
    expected = []
    for received_ns, payload in futures("usdm_btcusdt_20240808.gz"):
        feed.text(payload, received_ns)
        if b'"e":"trade"' in payload:
            expected.append(json.loads(payload)["data"])
    assert len(expected) == 21_313
    assert [(tick.trade_id, tick.text, tick.size) for tick in sink.ticks] == [
        (data["t"], data["p"], data["q"]) for data in expected
    ]
    assert [feed_rules.instant_ns(tick.venue_time) for tick in sink.ticks] == [data["T"] * 10**6 for data in expected]
    assert all(tick.bid and tick.ask for tick in sink.ticks[1:])
    assert sink.gaps == []
    # One line of the recording is no message of the stream but an answer by REST, a snapshot of the book.
    assert [sample.start[:15] for sample in feed.counters.samples] == [b'{"lastUpdateId"']
    assert fates(feed) == feed.counters.received


def test_a_print_that_the_venue_marks_as_none_of_its_market_moves_nothing() -> None:
    feed, sink = feed_of("binance", "BTCUSDT")
    trades = Counter()
    for received_ns, payload in futures("usdm_btcusdt_20230405.dat.gz"):
        feed.text(payload, received_ns)
        if b'"e":"trade"' in payload:
            trades[json.loads(payload)["data"]["X"]] += 1
    assert trades["INSURANCE_FUND"] == 1
    assert feed.counters.rejected == {"venue says INSURANCE_FUND": 1}
    assert len(sink.ticks) == trades["MARKET"]
    assert 3535191080 not in sink.ids("BTCUSDT")
    assert max(tick.price for tick in sink.ticks) < 28_700
    assert sink.gaps == []


def advanced(name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line in opened(CAPTURES / name):
        record = json.loads(line)
        yield int(record["recv_ts"] * 1e9), record["message"]


def test_the_recorded_trades_of_advanced_trade() -> None:
    feed, sink = feed_of("coinbase_advanced", "BTC-USD", "ETH-USD")
    news: list[tuple[str, int]] = []
    sent = 0
    for received_ns, message in advanced("coinbase-advanced-market_trades-20260809.jsonl"):
        del message["sequence_num"]  # the other channels' messages are not in this file
        feed.text(json.dumps(message).encode(), received_ns)
        for event in message["events"]:
            found = sorted((trade["product_id"], int(trade["trade_id"])) for trade in event["trades"])
            news += found[-1:] if event["type"] == "snapshot" else found
            sent += len(found)
    assert [(tick.symbol, tick.trade_id) for tick in sink.ticks] == news
    assert sink.gaps == []
    assert feed.counters.ignored == sent - len(news)
    assert fates(feed) == feed.counters.received == sent


def test_the_recorded_quotes_of_advanced_trade_as_prices_without_numbers() -> None:
    feed, sink = feed_of("coinbase_advanced", "BTC-USD", "ETH-USD", prices="ticker")
    sent = []
    for received_ns, message in advanced("coinbase-advanced-ticker-20260809.jsonl"):
        del message["sequence_num"]
        feed.text(json.dumps(message).encode(), received_ns)
        sent += [ticker for event in message["events"] for ticker in event["tickers"]]
    assert len(sent) > 100
    assert [(tick.symbol, tick.text, tick.bid, tick.ask) for tick in sink.ticks] == [
        (ticker["product_id"], ticker["price"], ticker["best_bid"], ticker["best_ask"]) for ticker in sent
    ]
    assert {tick.trade_id for tick in sink.ticks} == {0}
    assert fates(feed) == feed.counters.received


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the recording is compressed with zstd")
def test_the_whole_recorded_connection_of_advanced_trade() -> None:
    packed = CAPTURES / "COINBASE_ADVANCED_20260809.jsonl.zst"
    lines = subprocess.run(["zstd", "-dcq", packed], check=True, capture_output=True).stdout.splitlines()
    records = [json.loads(line) for line in lines]
    feed, sink = feed_of("coinbase_advanced", "BTC-USD", "ETH-USD")
    received = [record for record in records if record["t"] == "recv"]
    sides: Counter[tuple[str, bool]] = Counter()
    for record in received:
        feed.text(record["data"].encode(), int(record["ts"] * 1e9))
    assert len(received) == 1030
    assert feed.counters.garbage == feed.counters.errors == 0
    assert feed.counters.acknowledgements == 5
    assert feed.counters.heartbeats == 25
    assert feed.delivered() == {"BTC-USD", "ETH-USD"}
    assert {symbol for symbol, _ in sink.beats} == {"BTC-USD", "ETH-USD"}
    assert sink.gaps == []
    assert fates(feed) == feed.counters.received
    # Who takes buys at the ask: the venue names the maker, and we name the taker.
    for tick in sink.ticks:
        if tick.ask and not tick.snapshot and tick.price >= float(tick.ask):
            sides[tick.side, True] += 1
        elif tick.bid and not tick.snapshot and tick.price <= float(tick.bid):
            sides[tick.side, False] += 1
    assert sides["buy", True] > 10 * sides["sell", True]
    assert sides["sell", False] > 10 * sides["buy", False]


def test_the_recorded_answers_about_products() -> None:
    def body(path: Path) -> bytes:
        return next(opened(path)).partition(b" -> ")[2].partition(b": ")[2]

    with answering(lambda path, query, _: (200, {}, body(CAPTURES / "BINANCE.0.gz"))) as venue:
        binance = BinanceRest(venue.url)
        products = {product.symbol: product for product in binance.products()}
        binance.close()
    assert len(products) > 1000
    assert (products["BTCUSDT"].base, products["BTCUSDT"].price_increment, products["BTCUSDT"].size_increment) == (
        "BTC",
        "0.01",
        "0.00001",
    )
    with answering(lambda path, query, _: (200, {}, body(CAPTURES / "KRAKEN.0.gz"))) as venue:
        kraken = KrakenRest(venue.url)
        listed = {product.symbol: product for product in kraken.products()}
        kraken.close()
    assert len(listed) > 200
    assert {"BTC/USD", "ETH/EUR", "DOGE/USD"} <= set(listed)


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the recording is compressed with zstd")
def test_the_recorded_products_of_advanced_trade() -> None:
    packed = CAPTURES / "COINBASE_ADVANCED_20260809.jsonl.zst"
    lines = subprocess.run(["zstd", "-dcq", packed], check=True, capture_output=True).stdout.splitlines()
    body = next(json.loads(line)["data"] for line in lines if b'"t":"http"' in line[:40])
    with answering(lambda path, query, _: (200, {}, body.encode())) as venue:
        rest = AdvancedRest(venue.url)
        products = {product.symbol: product for product in rest.products()}
        rest.close()
    assert products["BTC-USD"].price_increment == "0.01"
    assert products["BTC-USD"].is_trading


def test_kraken_numbers_of_the_recorded_book_keep_every_digit() -> None:
    """The recorded session is of the older protocol, whose texts are put into messages of the newer one."""
    feed, sink = feed_of("kraken", "XMR/USD", "SC/EUR", "WAVES/EUR", "ADA/XBT", "ETH/CHF", "OMG/USD")
    sent: list[tuple[str, str]] = []
    for received_ns, payload in frames_of(CAPTURES / "KRAKEN.ws.48.0"):
        message = json.loads(payload)
        if not isinstance(message, list):
            continue
        for price, size, *_ in message[1]:
            sent.append((price, size))
            body = (
                f'{{"channel":"trade","type":"update","data":[{{"symbol":"{message[3]}","side":"buy","price":{price},'
                f'"qty":{size},"ord_type":"limit","trade_id":{len(sent)},"timestamp":"2021-04-17T16:43:30.244075Z"}}]}}'
            )
            feed.text(body.encode(), received_ns)
    assert len(sent) > 5
    assert [(tick.text, tick.size) for tick in sink.ticks] == sent
