"""How are prices received from Kraken? Its v2 `trade` and `ticker` channels on one WebSocket.

Protocol: https://docs.kraken.com/api/docs/websocket-v2/trade. Trade ids rise by one per book. Prices are JSON numbers,
so their digits are taken as they stand in the message. The venue answers each product of a subscription by itself.
"""

import time
from collections.abc import Sequence
from itertools import count
from typing import Annotated

import msgspec

from apps.market.feeds.base import FeedConfig, FeedSink, VenueRest
from apps.market.feeds.exact import NOTHING, number
from apps.market.feeds.gated import Trade
from apps.market.feeds.kraken_rest import KrakenRest
from apps.market.feeds.streaming import UNREADABLE, StreamingFeed, frame

_Id = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class _Item(msgspec.Struct, gc=False):
    symbol: str
    trade_id: _Id | None = None
    price: msgspec.Raw = NOTHING
    qty: msgspec.Raw = NOTHING
    side: str = ""
    timestamp: str = ""
    bid: msgspec.Raw = NOTHING
    ask: msgspec.Raw = NOTHING


class _Result(msgspec.Struct):
    channel: str = ""
    symbol: str = ""


class _Frame(msgspec.Struct):
    channel: str = ""
    type: str = ""
    data: list[_Item] = []
    method: str = ""
    success: bool | None = None
    error: str = ""
    symbol: str = ""
    result: _Result | None = None


class _Unknown(msgspec.Struct):
    channel: str = ""
    method: str = ""


_KNOWN = frozenset({"trade", "ticker", "heartbeat", "subscribe", "unsubscribe", "pong"})
_decode = msgspec.json.Decoder(_Frame).decode
_decode_unknown = msgspec.json.Decoder(_Unknown).decode


class KrakenFeed(StreamingFeed):
    """Trades of Kraken spot by its trade channel, quotes by its ticker channel."""

    name = "kraken"
    title = "Kraken spot"
    ws_url = "wss://ws.kraken.com/v2"
    rest_url = "https://api.kraken.com"
    send_spacing = 0.1  # the venue's limit is not published; it answers "Exceeded msg rate"

    def __init__(self, config: FeedConfig, sink: FeedSink) -> None:
        self._numbers = count(1)
        super().__init__(config, sink)

    def rest(self) -> VenueRest:
        """Return a new client of the venue's REST interface; the caller closes it."""
        return KrakenRest(self.config.rest_url)

    def subscribing(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the two messages, one per channel, that ask for these products."""
        # A change of the best bid or ask tells the quote at once; a trade alone would leave it behind.
        ticker = {"channel": "ticker", "symbol": symbols, "event_trigger": "bbo", "snapshot": True}
        trade = {"channel": "trade", "symbol": symbols, "snapshot": True}
        return tuple(self._request("subscribe", params) for params in (ticker, trade))

    def leaving(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the two messages, one per channel, that give these products up."""
        return tuple(
            self._request("unsubscribe", {"channel": channel, "symbol": symbols}) for channel in ("ticker", "trade")
        )

    def asking(self) -> Sequence[str]:
        """Return a ping: the venue's own heartbeats begin with the first subscription only."""
        return (frame({"method": "ping", "req_id": next(self._numbers)}),)

    def _request(self, method: str, params: dict[str, object]) -> str:
        return frame({"method": method, "params": params, "req_id": next(self._numbers)})

    def text(self, payload: bytes, received_ns: int) -> None:
        """Take one text message: the hot path. Each trade of a message is counted as one received."""
        try:
            message = _decode(payload)
        except UNREADABLE as error:
            self.counters.received += 1
            self._unreadable(payload, received_ns, error)
            return
        if message.channel == "trade":
            self._trades(message, received_ns)
        else:
            self.counters.received += 1
            self._other(message, payload, received_ns)

    def _trades(self, message: _Frame, received_ns: int) -> None:
        items = message.data
        if message.type == "snapshot":
            # Up to fifty old trades per product. The newest shows where the product stands; a hole before it is
            # refilled, past the exit check.
            newest = {item.symbol: item for item in sorted(items, key=lambda item: item.trade_id or 0)}
            self.counters.received += len(items) - len(newest)
            self.counters.ignored += len(items) - len(newest)
            items = list(newest.values())
        if not items:
            self.counters.received += 1
            self.counters.ignored += 1
        for item in items:
            self.counters.received += 1
            if item.trade_id is None:
                self._garbage(item.symbol.encode(), received_ns, "a trade without a number")
                continue
            bid, ask = self._quotes.get(item.symbol, ("", ""))
            self._gate.take(
                Trade(
                    item.symbol,
                    number(item.price),
                    item.trade_id,
                    0,
                    number(item.qty),
                    item.side,
                    bid,
                    ask,
                    item.timestamp,
                ),
                received_ns,
            )

    # -- messages that are no trades -----------------------------------------------------------------------------

    def _other(self, message: _Frame, payload: bytes, received_ns: int) -> None:
        if message.channel == "ticker":
            self.counters.ignored += 1
            for item in message.data:
                self._quotes[item.symbol] = number(item.bid), number(item.ask)
                self._gate.alive(item.symbol, received_ns)
        elif message.channel == "heartbeat" or message.method == "pong":
            self.counters.heartbeats += 1
            self._live(received_ns)
        elif message.method in ("subscribe", "unsubscribe") or message.success is False:
            self._answered(message)
        elif message.channel or message.method:
            self.counters.ignored += 1
        else:
            self._garbage(payload, received_ns, "neither a channel nor an answer")

    def _answered(self, message: _Frame) -> None:
        result = message.result or _Result()
        symbol = message.symbol or result.symbol
        if message.success or "already subscribed" in message.error.lower():
            self.counters.acknowledgements += 1
            if message.method == "subscribe" and result.channel in ("trade", ""):
                self._subscriptions.confirmed((symbol,), time.monotonic())
        else:
            self.counters.errors += 1
            self._failed(symbol, message.error)
        self._session.nudge()

    def _failed(self, symbol: str, words: str) -> None:
        if "rate" in words.lower():
            self._subscriptions.postponed(time.monotonic())
        elif symbol:
            self._refuse(symbol, words)
        else:
            self._fail(words)

    def _unreadable(self, payload: bytes, received_ns: int, error: Exception) -> None:
        """Tell a channel that we do not know, which is allowed, from garbage, which is kept for a person."""
        try:
            unknown = _decode_unknown(payload)
        except UNREADABLE:
            self._garbage(payload, received_ns, str(error))
            return
        kind = unknown.channel or unknown.method
        if kind and kind not in _KNOWN:
            self.counters.ignored += 1
        else:
            self._garbage(payload, received_ns, str(error))
