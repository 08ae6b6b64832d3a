"""How are prices received from Coinbase Exchange? Its `ticker` and `heartbeat` channels on one WebSocket.

Protocol: https://docs.cdp.coinbase.com/exchange/websocket-feed. Order is judged by `trade_id`, which rises by one per
product; `sequence` counts the order book and jumps by thousands between two tickers.
"""

import re
import time
from collections.abc import Callable, Iterable
from typing import Annotated

import msgspec

from apps.market.feeds.base import Feed, FeedConfig, FeedSink, FeedState, VenueRest
from apps.market.feeds.coinbase_rest import CoinbaseRest
from apps.market.feeds.gate import Gate
from apps.market.feeds.session import FeedSession
from apps.market.feeds.subscriptions import Subscriptions

CHANNELS = ("ticker", "heartbeat")

_Id = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_PRODUCT = re.compile(r"[A-Z0-9]+(?:-[A-Z0-9]+)+")
_TOO_FAST = re.compile(r"rate limit|too many|too fast|slow down", re.IGNORECASE)
_SUBSCRIBING = re.compile(r"subscri|product", re.IGNORECASE)
_LEAVING = re.compile(r"unsubscri", re.IGNORECASE)
_IDLE = 60.0


class _Ticker(
    msgspec.Struct,
    tag_field="type",
    tag="ticker",
    gc=False,
    rename={
        "symbol": "product_id",
        "size": "last_size",
        "bid": "best_bid",
        "ask": "best_ask",
        "venue_time": "time",
    },
):
    symbol: str
    price: str
    trade_id: _Id
    sequence: _Count = 0
    size: str = "0"
    side: str = ""
    bid: str = ""
    ask: str = ""
    venue_time: str = ""


class _Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat", gc=False):
    product_id: str
    last_trade_id: _Count = 0
    time: str = ""


class _Channel(msgspec.Struct):
    name: str
    product_ids: list[str] = []


class _Subscriptions(msgspec.Struct, tag_field="type", tag="subscriptions"):
    channels: list[_Channel] = []


class _Error(msgspec.Struct, tag_field="type", tag="error"):
    message: str = ""
    reason: str = ""


class _Unknown(msgspec.Struct):
    type: str


_KNOWN_TYPES = frozenset({"ticker", "heartbeat", "subscriptions", "error"})
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_unknown = msgspec.json.Decoder(_Unknown).decode


class CoinbaseFeed(Feed):
    """Trades of Coinbase Exchange by its ticker channel, with signs of life by its heartbeat channel."""

    name = "coinbase"

    def __init__(self, config: FeedConfig, sink: FeedSink) -> None:
        super().__init__(config, sink)
        self._gate = Gate(
            sink=sink,
            counters=self.counters,
            rules=config.rules,
            heartbeat_grace=config.timings.heartbeat_grace,
            known_trade_ids=config.known_trade_ids,
        )
        self._take = self._gate.take
        self._decode = msgspec.json.Decoder(_Ticker | _Heartbeat | _Subscriptions | _Error).decode
        self._subscriptions = Subscriptions(timings=config.timings, batch=config.batch)
        self._send: Callable[[str], None] | None = None
        self._send_at = 0.0
        self._session = FeedSession(config, self, self.counters, sink.state)
        self.add_products(config.products)

    # -- the feed, for any thread --------------------------------------------------------------------------------

    def run(self) -> None:
        """Receive in the calling thread until `stop`; every loss of the connection is mended inside."""
        self._session.run()

    def stop(self) -> None:
        """End `run` from any thread, within a second."""
        self._session.stop()

    def add_products(self, symbols: Iterable[str]) -> None:
        """Follow more products, from any thread, at once when connected."""
        chosen = list(dict.fromkeys(symbols))
        self._gate.follow(chosen)
        self._subscriptions.add(chosen)
        self._session.nudge()

    def remove_products(self, symbols: Iterable[str]) -> None:
        """Stop following products, from any thread."""
        chosen = list(symbols)
        self._subscriptions.remove(chosen)
        self._gate.forget(chosen)
        self._session.nudge()

    def products(self) -> frozenset[str]:
        """Return the products that are followed, refused ones included."""
        return self._subscriptions.wanted()

    def delivered(self) -> frozenset[str]:
        """Return the products that the venue has confirmed in this session."""
        return self._subscriptions.delivered()

    def state(self) -> FeedState:
        """Return the present status."""
        return self._session.state

    def last_trade_id(self, symbol: str) -> int:
        """Return the newest trade id seen of a product, 0 when none."""
        return self._gate.last_trade_id(symbol)

    def last_price(self, symbol: str) -> float:
        """Return the last believed price of a product, 0 when none."""
        return self._gate.last_price(symbol)

    def rest(self) -> VenueRest:
        """Return a new client of the venue's REST interface; the caller closes it."""
        return CoinbaseRest(self.config.rest_url)

    # -- the dialect, for the session ----------------------------------------------------------------------------

    def opened(self, send: Callable[[str], None]) -> None:
        """Begin a session: everything is to be subscribed again."""
        self._gate.session_opened()
        self._subscriptions.session_opened()
        self._send = send

    def closed(self) -> None:
        """End the session: nothing can be sent."""
        self._send = None

    def text(self, payload: bytes, received_ns: int) -> None:
        """Take one text message: the hot path."""
        self.counters.received += 1
        try:
            message = self._decode(payload)
        except _UNREADABLE as error:
            self._unreadable(payload, received_ns, error)
            return
        if type(message) is _Ticker:
            self._take(message, received_ns)
        else:
            self._other(message, received_ns)

    def binary(self, payload: bytes, received_ns: int) -> None:
        """Take one binary message, which this venue never sends."""
        self.counters.received += 1
        self.counters.quarantine(payload, reason="a binary message", received_ns=received_ns)

    def work(self) -> float:
        """Send the next subscribe or unsubscribe message; return the seconds until the next call. May raise Dropped."""
        send, now = self._send, time.monotonic()
        if send is None:
            return _IDLE  # the session nudges when it opens
        if now < self._send_at:
            return self._send_at - now
        message = self._next_message(now)
        if not message:
            return self.config.timings.watch_every
        self._send_at = now + self.config.timings.frame_spacing
        send(message)
        return self.config.timings.frame_spacing

    def _next_message(self, now: float) -> str:
        if leaving := self._subscriptions.next_leaving():
            return _frame("unsubscribe", leaving)
        chosen, unanswered = self._subscriptions.next_batch(now)
        for symbol in unanswered:
            self.sink.refused(symbol, "the venue does not answer the subscription")
        return _frame("subscribe", chosen) if chosen else ""

    # -- messages that are not tickers ---------------------------------------------------------------------------

    def _other(self, message: _Ticker | _Heartbeat | _Subscriptions | _Error, received_ns: int) -> None:
        match message:
            case _Heartbeat():
                self._subscriptions.beat(message.product_id, time.monotonic())
                self._gate.heartbeat(message.product_id, message.last_trade_id, message.time, received_ns)
            case _Subscriptions():
                self.counters.acknowledgements += 1
                self._acknowledged(message)
            case _Error():
                self.counters.errors += 1
                self._failed(message)

    def _acknowledged(self, message: _Subscriptions) -> None:
        listed = {channel.name: set(channel.product_ids) for channel in message.channels}
        delivered = set.intersection(*(listed.get(name, set()) for name in CHANNELS))
        self._subscriptions.acknowledged(delivered, time.monotonic())
        self._session.nudge()

    def _failed(self, message: _Error) -> None:
        words = f"{message.message}: {message.reason}"
        now = time.monotonic()
        if _TOO_FAST.search(words):
            self._subscriptions.postponed(now)
        elif _SUBSCRIBING.search(words) and not _LEAVING.search(words):
            for symbol in self._subscriptions.failed(set(_PRODUCT.findall(words)), now):
                self.sink.refused(symbol, words[:200])
        self._session.nudge()

    def _unreadable(self, payload: bytes, received_ns: int, error: Exception) -> None:
        """Tell a message type that we do not know, which is allowed, from garbage, which is kept for a person."""
        try:
            kind = _decode_unknown(payload).type
        except _UNREADABLE:
            kind = ""
        if kind and kind not in _KNOWN_TYPES:
            self.counters.ignored += 1
        else:
            self.counters.quarantine(payload, reason=str(error)[:120], received_ns=received_ns)


def _frame(kind: str, symbols: list[str]) -> str:
    return msgspec.json.encode({"type": kind, "product_ids": symbols, "channels": CHANNELS}).decode()
