"""Whatever bytes arrive, no feed falls over, and every message still has exactly one fate."""

import json
import time
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.market.feeds import FEEDS
from apps.market.feeds.base import FeedConfig
from apps.market.feeds.streaming import StreamingFeed
from apps.market.feeds.wire import Dropped
from tests.market.dialects import TONGUES, Print, Tongue
from tests.market.following import Recorder, fates
from tests.market.venue import Peer

NASTY: list[object] = [
    None, True, 0, -1, 1.5, 1e300, 2**70, "", "NaN", "1e5", "-5", "x" * 300, "\x00", [], {}, [[]], [None], {"e": 1},
    "trade", "subscribe", "error", "BTC-USD", "2026-13-40T99:99:99Z", "9" * 40,
]  # fmt: skip


class Deaf:
    """A connection that nobody reads: the tongue needs one to keep its numbers on."""

    def __init__(self) -> None:
        self.products: set[str] = set()
        self.sent: list[object] = []

    def send(self, *messages: object) -> None:
        self.sent += messages


def valid(tongue: Tongue) -> list[Any]:
    """Return messages of every kind that the venue sends, as JSON values."""
    peer = Deaf()
    as_peer = cast(Peer, peer)
    found = [*tongue.trade(as_peer, Print(symbol=tongue.symbol, n=2)), *tongue.beat(as_peer)]
    extra: dict[str, list[object]] = {
        "coinbase": [{"type": "error", "message": "Failed to subscribe", "reason": "x"}, {"type": "subscriptions"}],
        "coinbase_advanced": [{"channel": "subscriptions", "events": [{"subscriptions": {"ticker": ["BTC-USD"]}}]}],
        "binance": [{"result": None, "id": 1}, {"result": ["btcusdt@trade"], "id": 2}, {"error": {"code": 1}, "id": 3}],
        "kraken": [{"method": "subscribe", "success": False, "error": "no", "symbol": "X"}, {"method": "pong"}],
        "alpaca": [
            [{"T": "subscription", "trades": ["AAPL"], "quotes": []}],
            [{"T": "error", "code": 400, "msg": "x"}],
        ],
    }
    loaded = [json.loads(item) if isinstance(item, str) else item for item in found]
    return [*loaded, *extra[tongue.name]]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], nasty: object) -> Any:
    if not path:
        return nasty
    copy = json.loads(json.dumps(value))
    target = copy
    for step in path[:-1]:
        target = target[step]
    if nasty is Ellipsis:
        del target[path[-1]]
    else:
        target[path[-1]] = nasty
    return copy


def feed_of(name: str) -> tuple[StreamingFeed, Recorder]:
    sink, tongue = Recorder(), TONGUES[name]
    config = FeedConfig(ws_url="ws://127.0.0.1:1", rest_url="", products=(tongue.symbol,), key="K", secret="S")
    feed = FEEDS.get(name)(config, sink)
    assert isinstance(feed, StreamingFeed)
    feed.opened(lambda text: None)
    return feed, sink


def take(feed: StreamingFeed, payload: bytes) -> None:
    try:
        feed.text(payload, time.time_ns())
    except Dropped:
        feed.closed()
        feed.opened(lambda text: None)
    feed.work()


@pytest.mark.parametrize("name", sorted(TONGUES))
def test_every_field_may_be_anything(name: str) -> None:
    feed, sink = feed_of(name)
    for message in valid(TONGUES[name]()):
        for path in places(message):
            for nasty in [*NASTY, *([...] if path else [])]:
                take(feed, json.dumps(changed(message, path, nasty)).encode())
    assert fates(feed) == feed.counters.received
    assert all(0 < tick.price < 1e15 for tick in sink.ticks)
    take(feed, json.dumps(valid(TONGUES[name]())[0]).encode())
    assert feed.counters.received > 100


@pytest.mark.parametrize("name", sorted(TONGUES))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_bytes_may_be_anything(name: str, data: st.DataObject) -> None:
    feed, _ = feed_of(name)
    messages = [json.dumps(message).encode() for message in valid(TONGUES[name]())]
    for _round in range(10):
        payload = bytearray(data.draw(st.sampled_from(messages)))
        for _change in range(data.draw(st.integers(0, 4))):
            payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
        take(feed, bytes(payload[: data.draw(st.integers(0, len(payload)))]))
        take(feed, data.draw(st.binary(max_size=40)))
    assert fates(feed) == feed.counters.received
