"""How are prices received from Coinbase Exchange? Its `ticker` and `heartbeat` channels on one WebSocket.

Protocol: https://docs.cdp.coinbase.com/exchange/websocket-feed. Order is judged by `trade_id`, which rises by one per
product; `sequence` counts the order book and jumps by thousands between two tickers.
"""

import re
import time
from collections.abc import Sequence
from typing import Annotated

import msgspec

from apps.market.feeds.base import FeedConfig, FeedSink, VenueRest
from apps.market.feeds.coinbase_rest import CoinbaseRest
from apps.market.feeds.streaming import UNREADABLE, StreamingFeed, frame

CHANNELS = ("ticker", "heartbeat")

_Id = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_PRODUCT = re.compile(r"[A-Z0-9]+(?:-[A-Z0-9]+)+")
_TOO_FAST = re.compile(r"rate limit|too many|too fast|slow down", re.IGNORECASE)
_SUBSCRIBING = re.compile(r"subscri|product", re.IGNORECASE)
_LEAVING = re.compile(r"unsubscri", re.IGNORECASE)


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
_decode_unknown = msgspec.json.Decoder(_Unknown).decode


class CoinbaseFeed(StreamingFeed):
    """Trades of Coinbase Exchange by its ticker channel, with signs of life by its heartbeat channel."""

    name = "coinbase"

    title = "Coinbase Exchange"
    ws_url = "wss://ws-feed.exchange.coinbase.com"
    rest_url = "https://api.exchange.coinbase.com"

    def __init__(self, config: FeedConfig, sink: FeedSink) -> None:
        super().__init__(config, sink)
        self._take = self._gate.take
        self._decode = msgspec.json.Decoder(_Ticker | _Heartbeat | _Subscriptions | _Error).decode

    def rest(self) -> VenueRest:
        """Return a new client of the venue's REST interface; the caller closes it."""
        return CoinbaseRest(self.config.rest_url)

    def subscribing(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the message that asks for these products."""
        return (_frame("subscribe", symbols),)

    def leaving(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the message that gives these products up."""
        return (_frame("unsubscribe", symbols),)

    def text(self, payload: bytes, received_ns: int) -> None:
        """Take one text message: the hot path."""
        self.counters.received += 1
        try:
            message = self._decode(payload)
        except UNREADABLE as error:
            self._unreadable(payload, received_ns, error)
            return
        if type(message) is _Ticker:
            self._take(message, received_ns)
        else:
            self._other(message, received_ns)

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
        except UNREADABLE:
            kind = ""
        if kind and kind not in _KNOWN_TYPES:
            self.counters.ignored += 1
        else:
            self.counters.quarantine(payload, reason=str(error)[:120], received_ns=received_ns)


def _frame(kind: str, symbols: Sequence[str]) -> str:
    return frame({"type": kind, "product_ids": symbols, "channels": CHANNELS})
