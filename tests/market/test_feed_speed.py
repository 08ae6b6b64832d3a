"""The whole path from socket to sink keeps up with a bare loop that only receives and reads three fields."""

import json
import threading
import time

import msgspec
import websocket

from apps.domain.ticks import Tick
from apps.market.feeds.base import FeedConfig
from apps.market.feeds.coinbase import CoinbaseFeed
from tests.market.following import Recorder
from tests.market.venue import Peer, frame, running, ticker

COUNT = 30_000
ROUNDS = 3


class Three(msgspec.Struct):
    """What the bare loop reads."""

    product_id: str
    price: str
    trade_id: int


class Counting(Recorder):
    """A sink that does next to nothing, and knows when the last trade came."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.last = 0.0
        self.done = threading.Event()

    def tick(self, tick: Tick) -> None:
        if tick.trade_id == 1:
            self.first = time.perf_counter()
        elif tick.trade_id == COUNT:
            self.last = time.perf_counter()
            self.done.set()


def blast() -> bytes:
    return b"".join(frame(json.dumps(_message(number), separators=(",", ":"))) for number in range(1, COUNT + 1))


def _message(number: int) -> dict[str, object]:
    return ticker(
        "BTC-USD",
        number,
        f"{61800 + number % 37 * 0.01:.2f}",
        best_bid=f"{61799 + number % 11 * 0.01:.2f}",
        best_ask=f"{61801 + number % 7 * 0.01:.2f}",
        best_bid_size="0.18221481",
        best_ask_size="0.00003770",
        open_24h="61800.30",
        low_24h="61204.99",
        high_24h="62010.10",
        volume_24h="15328.12345678",
        volume_30d="512345.12345678",
        sequence=50_000_000_000 + number * 7,
    )


def bare(url: str) -> float:
    decode = msgspec.json.Decoder(Three).decode
    connection = websocket.create_connection(url, skip_utf8_validation=True, timeout=10)
    connection.send('{"type":"subscribe","product_ids":["BTC-USD"]}')
    connection.recv_data()
    receive = connection.recv_data
    started = time.perf_counter()
    for _ in range(COUNT):
        decode(receive()[1])
    elapsed = time.perf_counter() - started
    connection.shutdown()
    return COUNT / elapsed


def whole(url: str) -> float:
    sink = Counting()
    feed = CoinbaseFeed(FeedConfig(ws_url=url, rest_url="", products=("BTC-USD",)), sink)
    thread = threading.Thread(target=feed.run)
    thread.start()
    assert sink.done.wait(30)
    feed.stop()
    thread.join()
    assert feed.counters.snapshots + feed.counters.accepted == COUNT
    return (COUNT - 1) / (sink.last - sink.first)


def test_the_whole_path_is_at_least_six_tenths_as_fast_as_the_bare_loop() -> None:
    data = blast()

    def script(peer: Peer) -> None:
        peer.subscribe()
        peer.raw(data)
        peer.hold()

    with running(script) as venue:
        pairs = [(bare(venue.url), whole(venue.url)) for _ in range(ROUNDS)]
    ratios = sorted(ours / plain for plain, ours in pairs)
    print([(f"bare {plain:,.0f}/s", f"whole {ours:,.0f}/s") for plain, ours in pairs], len(data) // COUNT, "bytes")
    assert ratios[ROUNDS // 2] >= 0.6
