"""How are prices received from Coinbase Advanced Trade? Its `market_trades`, `ticker` and `heartbeats` channels.

Protocol: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-overview. Trades carry an
id that rises by one per product; the ticker carries none, nor a time of its own, so it gives quotes only (or, by the
option `prices=ticker`, prices without numbers). `sequence_num` counts the messages of the connection: a hole in it
means that the venue dropped messages, and only a new session shows which.
"""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import msgspec

from apps.market.feeds.base import FeedConfig, FeedSink, Numbering, VenueRest
from apps.market.feeds.coinbase_advanced_rest import TAKER_OF_MAKER, AdvancedRest
from apps.market.feeds.gated import Trade
from apps.market.feeds.streaming import UNREADABLE, StreamingFeed, frame
from apps.market.feeds.wire import Dropped

CHANNELS = ("market_trades", "ticker")
_PRODUCT = re.compile(r"[A-Z0-9]+(?:-[A-Z0-9]+)+")
_TOO_FAST = re.compile(r"rate limit|too many|too fast|slow down", re.IGNORECASE)


class _Trade(msgspec.Struct, gc=False):
    product_id: str
    trade_id: str
    price: str
    size: str = "0"
    side: str = ""  # the maker's
    time: str = ""


class _Ticker(msgspec.Struct, gc=False):
    product_id: str
    price: str = ""
    best_bid: str = ""
    best_ask: str = ""


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    trades: list[_Trade] = []
    tickers: list[_Ticker] = []
    subscriptions: dict[str, list[str]] = {}


class _Frame(msgspec.Struct):
    channel: str = ""
    sequence_num: int = -1
    timestamp: str = ""
    events: list[_Event] = []
    type: str = ""
    message: str = ""
    reason: str = ""


class _Unknown(msgspec.Struct):
    channel: str = ""
    sequence_num: int = -1


_KNOWN = frozenset({*CHANNELS, "heartbeats", "subscriptions"})
_decode = msgspec.json.Decoder(_Frame).decode
_decode_unknown = msgspec.json.Decoder(_Unknown).decode


class AdvancedFeed(StreamingFeed):
    """Trades and quotes of Coinbase Advanced Trade; public, so no key is needed."""

    name = "coinbase_advanced"
    title = "Coinbase Advanced Trade"
    ws_url = "wss://advanced-trade-ws.coinbase.com"
    rest_url = "https://api.coinbase.com"
    send_spacing = 0.15  # eight messages a second without authentication
    options: ClassVar[Mapping[str, str]] = {
        "prices": "trades (default): each trade by its number; ticker: prices without numbers, a little sooner."
    }

    def __init__(self, config: FeedConfig, sink: FeedSink) -> None:
        self._expected = -1  # the next sequence number of this connection, -1 before the first
        self._names: dict[str, tuple[str, ...]] = {}
        self._by_ticker = config.options.get("prices", "trades") == "ticker"
        if self._by_ticker:
            self.numbering = Numbering.NONE  # type: ignore[misc]  # of this feed, not of its class
        super().__init__(config, sink)

    def rest(self) -> VenueRest:
        """Return a new client of the venue's REST interface; the caller closes it."""
        return AdvancedRest(self.config.rest_url)

    def add_products(self, symbols: Iterable[str]) -> None:
        """Follow more products; what trades against USDC is told by the venue under its USD book's name."""
        super().add_products(symbols)
        self._name_books()

    def remove_products(self, symbols: Iterable[str]) -> None:
        """Stop following products."""
        super().remove_products(symbols)
        self._name_books()

    def _name_books(self) -> None:
        names: dict[str, tuple[str, ...]] = {}
        for symbol in sorted(self._subscriptions.wanted()):
            book = symbol.removesuffix("C") if symbol.endswith("-USDC") else symbol
            names[book] = (*names.get(book, ()), symbol)
        self._names = names

    def greeting(self) -> Sequence[str]:
        """Return the subscription to heartbeats: quiet channels are closed after a minute without it."""
        self._expected = -1
        return (frame({"type": "subscribe", "channel": "heartbeats"}),)

    def subscribing(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the messages that ask for these products: one channel each, as the venue wants it."""
        return self._each_channel("subscribe", symbols)

    def leaving(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the messages that give these products up."""
        return self._each_channel("unsubscribe", symbols)

    @staticmethod
    def _each_channel(kind: str, symbols: Sequence[str]) -> tuple[str, ...]:
        return tuple(frame({"type": kind, "product_ids": symbols, "channel": channel}) for channel in CHANNELS)

    def text(self, payload: bytes, received_ns: int) -> None:
        """Take one text message: the hot path. Raises Dropped when messages of this connection are missing."""
        try:
            message = _decode(payload)
        except UNREADABLE as error:
            self.counters.received += 1
            self._unreadable(payload, received_ns, error)
            return
        self._count(message.sequence_num)
        if message.channel == "market_trades":
            self._trades(message, received_ns)
        elif message.channel == "ticker":
            self._tickers(message, received_ns)
        else:
            self.counters.received += 1
            self._other(message, payload, received_ns)

    def _count(self, sequence: int) -> None:
        if sequence < 0:
            return
        if 0 <= self._expected < sequence:
            raise Dropped("sequence_gap", f"{sequence - self._expected} messages did not arrive")
        self._expected = max(self._expected, sequence + 1)

    def _trades(self, message: _Frame, received_ns: int) -> None:
        trades = [trade for event in message.events for trade in _news(event)]
        left_out = max(sum(len(event.trades) for event in message.events), 1) - len(trades)
        self.counters.received += left_out
        self.counters.ignored += left_out
        for trade in trades:
            self.counters.received += 1
            if self._by_ticker:
                self.counters.ignored += 1
                continue
            if not (trade.trade_id.isascii() and trade.trade_id.isdigit() and 0 < int(trade.trade_id[:19]) < 2**63):
                self._garbage(trade.trade_id.encode(), received_ns, "a trade without a number")
                continue
            for symbol in self._followed(trade.product_id):
                bid, ask = self._quotes.get(symbol, ("", ""))
                self._gate.take(
                    Trade(
                        symbol,
                        trade.price,
                        int(trade.trade_id),
                        max(message.sequence_num, 0),
                        trade.size,
                        TAKER_OF_MAKER.get(trade.side, ""),
                        bid,
                        ask,
                        trade.time,
                    ),
                    received_ns,
                )

    def _tickers(self, message: _Frame, received_ns: int) -> None:
        for ticker in [ticker for event in message.events for ticker in event.tickers]:
            for symbol in self._followed(ticker.product_id):
                self._quotes[symbol] = ticker.best_bid, ticker.best_ask
                self._gate.alive(symbol, received_ns)
                if self._by_ticker:
                    self.counters.received += 1
                    self._gate.take(
                        Trade(
                            symbol,
                            ticker.price,
                            0,
                            max(message.sequence_num, 0),
                            "0",
                            "",
                            ticker.best_bid,
                            ticker.best_ask,
                            message.timestamp,
                        ),
                        received_ns,
                    )
        if not self._by_ticker:
            self.counters.received += 1
            self.counters.ignored += 1

    def _followed(self, product_id: str) -> tuple[str, ...]:
        return self._names.get(product_id) or (product_id,)

    # -- messages that are no prices -----------------------------------------------------------------------------

    def _other(self, message: _Frame, payload: bytes, received_ns: int) -> None:
        if message.channel == "heartbeats":
            self.counters.heartbeats += 1
            self._live(received_ns)
        elif message.channel == "subscriptions":
            self.counters.acknowledgements += 1
            self._acknowledged(message)
        elif message.type == "error":
            self.counters.errors += 1
            self._failed(f"{message.message} {message.reason}".strip())
        elif message.channel or message.type:
            self.counters.ignored += 1
        else:
            self._garbage(payload, received_ns, "neither a channel nor an error")

    def _acknowledged(self, message: _Frame) -> None:
        """Take the full list of what is delivered; a channel that is not listed yet is not acknowledged yet."""
        listed = [event.subscriptions for event in message.events if event.subscriptions]
        if not listed:
            return
        named = {symbol for channel in CHANNELS for symbol in listed[-1].get(channel, [])}
        both = {symbol for symbol in named if all(symbol in listed[-1].get(channel, []) for channel in CHANNELS)}
        delivered = {ours for symbol in both for ours in self._followed(symbol)}
        if len(both) == len(named) and both:
            self._subscriptions.acknowledged(delivered, time.monotonic())
        else:
            self._subscriptions.confirmed(delivered, time.monotonic())
        self._session.nudge()

    def _failed(self, words: str) -> None:
        if _TOO_FAST.search(words):
            self._subscriptions.postponed(time.monotonic())
        else:
            self._fail(words, _PRODUCT.findall(words))
        self._session.nudge()

    def _unreadable(self, payload: bytes, received_ns: int, error: Exception) -> None:
        """Tell a channel that we do not know, which is allowed, from garbage, which is kept for a person."""
        try:
            unknown = _decode_unknown(payload)
        except UNREADABLE:
            self._garbage(payload, received_ns, str(error))
            return
        if unknown.channel and unknown.channel not in _KNOWN:
            self.counters.ignored += 1
            self._count(unknown.sequence_num)
        else:
            self._expected = max(self._expected, unknown.sequence_num + 1)
            self._garbage(payload, received_ns, str(error))


def _news(event: _Event) -> list[_Trade]:
    """Return an event's trades, oldest first; of a snapshot the newest of each product only.

    The venue sends them newest first. A hole before a snapshot's newest trade is refilled, past the exit check.
    """
    trades = sorted(event.trades, key=lambda trade: (len(trade.trade_id), trade.trade_id))
    return list({trade.product_id: trade for trade in trades}.values()) if event.type == "snapshot" else trades
