"""One receiver as a process: the bare loop that only receives and parses, or the listener's own receive thread.

    python -m benchmarks.receiver bare|listener URL COUNT [LEVELS]

Prints one JSON object: seconds and CPU seconds of the receiving thread from the first ticker to the last.
"""

import json
import sys
import threading
import time
from collections.abc import Iterator

import django
import msgspec
import websocket

PRODUCTS = 100
PRICE = 1000.0
STEP = 0.01


class Three(msgspec.Struct):
    """What the bare loop reads of a ticker."""

    product_id: str
    price: str
    trade_id: int


def products() -> list[str]:
    """Return the names of all products."""
    return [f"P{number:03d}-USD" for number in range(1, PRODUCTS + 1)]


def bare(url: str, count: int) -> dict[str, float]:
    """Receive and parse as little as one can."""
    decode = msgspec.json.Decoder(Three).decode
    link = websocket.create_connection(url, skip_utf8_validation=True, timeout=60)
    link.send(json.dumps({"type": "subscribe", "product_ids": products(), "channels": ["ticker"]}))
    link.recv_data()  # the acknowledgement
    link.recv_data()  # the heartbeat before the first ticker
    receive = link.recv_data
    started, busy = time.perf_counter(), time.thread_time()
    for _ in range(count):
        decode(receive()[1])
    taken = {"seconds": time.perf_counter() - started, "cpu_seconds": time.thread_time() - busy}
    link.shutdown()
    return taken


def listener(url: str, count: int, levels: int) -> dict[str, float]:
    """Receive, decode, judge and compare with open levels, as the listener's receive thread does."""
    from apps.market.feeds.base import FeedConfig
    from apps.market.feeds.coinbase import CoinbaseFeed
    from apps.market.feeds.switch import Switchboard
    from workers.listener.sources import Source
    from workers.listener.watch import Watcher

    class Timed(Source):
        """The listener's own source, with a look at the clocks at the heartbeats before and after the tickers."""

        def heard(self, symbol: str, received_ns: int) -> None:
            clocks.append((time.perf_counter(), time.thread_time()))
            if len(clocks) == 2:
                done.set()

    clocks: list[tuple[float, float]] = []
    done = threading.Event()
    watcher = Watcher(lambda crossings: None)
    source = Timed("coinbase", watcher, Switchboard())
    source.adopt(watcher.follow(symbol, number) for number, symbol in enumerate(products(), 1))
    if watcher.load(_levels(levels)) != levels:
        raise SystemExit("not every level is watched")
    feed = CoinbaseFeed(FeedConfig(ws_url=url, rest_url="", products=tuple(products())), source)
    thread = threading.Thread(target=feed.run)
    thread.start()
    finished = done.wait(120)
    feed.stop()
    thread.join()
    if not finished or watcher.ticks != count:
        raise SystemExit(f"{watcher.ticks} ticks of {count}: {feed.counters}")
    (began, busy), (ended, spent) = clocks
    return {"seconds": ended - began, "cpu_seconds": spent - busy}


def _levels(count: int) -> Iterator[tuple[int, object]]:
    """Yield stops below and targets above the market, half of each, spread over all products, out of reach."""
    from apps.domain.book import Watch

    for leg in range(count):
        distance = 100 + leg // (2 * PRODUCTS) * STEP
        kind, level = ("take_profit", PRICE + distance) if leg // PRODUCTS % 2 else ("stop_loss", PRICE - distance)
        yield leg % PRODUCTS + 1, Watch(leg_id=leg + 1, sign=1, kind=kind, level=level)


def main() -> None:
    """Measure once, as the arguments say."""
    mode, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if mode == "bare":
        print(json.dumps(bare(url, count)))
        return
    django.setup()
    print(json.dumps(listener(url, count, int(sys.argv[4]))))


if __name__ == "__main__":
    main()
