"""How are prices received from Binance spot? Its `trade` and `bookTicker` streams on one combined WebSocket.

Protocol: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams. Trade ids rise by one per
product. There is no heartbeat: the venue is asked for its list of subscriptions, which also proves them.
"""

import time
from collections.abc import Sequence
from itertools import count
from typing import Annotated

import msgspec

from apps.market.feeds.base import FeedConfig, FeedSink, VenueRest
from apps.market.feeds.binance_rest import BinanceRest
from apps.market.feeds.exact import iso_of_ms
from apps.market.feeds.gated import Trade
from apps.market.feeds.streaming import UNREADABLE, StreamingFeed, frame
from apps.market.feeds.wire import Dropped

_MARKET = frozenset({"", "MARKET"})  # what `X` says of a trade of the order book; spot does not say it at all
_KEPT_ASKS = 64

_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Payload(
    msgspec.Struct,
    gc=False,
    rename={
        "kind": "e",
        "symbol": "s",
        "trade_id": "t",
        "price": "p",
        "size": "q",
        "traded_ms": "T",
        "is_maker_buying": "m",
        "origin": "X",
        "first_id": "f",
        "last_id": "l",
        "bid": "b",
        "ask": "a",
        "update_id": "u",
    },
):
    symbol: str = ""
    kind: str = ""
    trade_id: _Id = 0
    price: str = ""
    size: str = "0"
    traded_ms: int = 0
    is_maker_buying: bool = False
    origin: str = ""
    first_id: _Id = 0
    last_id: _Id = 0
    bid: str | int = ""  # in an old trade message: an order's number
    ask: str | int = ""
    update_id: int = 0


class _Error(msgspec.Struct):
    code: int = 0
    msg: str = ""


class _Frame(msgspec.Struct):
    data: _Payload | None = None
    stream: str = ""
    e: str = ""
    id: int | None = None
    result: list[str] | None = None
    error: _Error | None = None


class _Unknown(msgspec.Struct):
    stream: str = ""
    e: str = ""


_decode = msgspec.json.Decoder(_Frame).decode
_decode_unknown = msgspec.json.Decoder(_Unknown).decode


class BinanceFeed(StreamingFeed):
    """Trades of Binance spot by its trade streams, quotes by its bookTicker streams."""

    name = "binance"
    title = "Binance spot"
    ws_url = "wss://stream.binance.com:9443"
    rest_url = "https://api.binance.com"
    send_spacing = 0.25  # five messages a second, of which pongs want one
    session_life = 23.8 * 3600.0  # the venue ends a connection after 24 hours
    tells_mute = True

    def __init__(self, config: FeedConfig, sink: FeedSink) -> None:
        self._numbers = count(1)
        self._asked: dict[int, tuple[str, ...]] = {}
        super().__init__(config, sink)
        self._take = self._gate.take

    def rest(self) -> VenueRest:
        """Return a new client of the venue's REST interface; the caller closes it."""
        return BinanceRest(self.config.rest_url, key=self.config.key)

    def address(self) -> str:
        """Return the address of combined streams below the venue's host."""
        base = self.config.ws_url.rstrip("/")
        return base if base.endswith("/stream") else f"{base}/stream"

    def subscribing(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the message that asks for the streams of these products."""
        number = next(self._numbers)
        self._asked[number] = tuple(symbols)
        while len(self._asked) > _KEPT_ASKS:
            del self._asked[next(iter(self._asked))]
        return (frame({"method": "SUBSCRIBE", "params": _streams(symbols), "id": number}),)

    def leaving(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the message that gives the streams of these products up."""
        return (frame({"method": "UNSUBSCRIBE", "params": _streams(symbols), "id": next(self._numbers)}),)

    def asking(self) -> Sequence[str]:
        """Return the question for the venue's list of our streams."""
        return (frame({"method": "LIST_SUBSCRIPTIONS", "id": next(self._numbers)}),)

    def text(self, payload: bytes, received_ns: int) -> None:
        """Take one text message: the hot path. Raises Dropped when the venue says that it is about to leave."""
        self.counters.received += 1
        try:
            message = _decode(payload)
        except UNREADABLE as error:
            self._unreadable(payload, received_ns, error)
            return
        data = message.data
        if data is None:
            self._control(message, payload, received_ns)
        elif data.kind == "trade":
            self._trade(data, received_ns)
        elif data.update_id and type(data.bid) is str and type(data.ask) is str and data.kind in ("", "bookTicker"):
            self._quotes[data.symbol] = data.bid, data.ask
            self.counters.ignored += 1
            self._gate.alive(data.symbol, received_ns)
        elif data.kind == "aggTrade":
            self._gate.merge(data.symbol, data.first_id, data.last_id)
            data.trade_id = data.last_id
            self._trade(data, received_ns)
        else:
            self._event(data.kind or message.stream, payload, received_ns)

    def _trade(self, data: _Payload, received_ns: int) -> None:
        if not (data.symbol and data.price and data.trade_id):
            self._garbage(data.symbol.encode(), received_ns, "a trade without symbol, price or number")
        elif data.origin not in _MARKET:
            self._gate.skip(data.symbol, data.trade_id, f"venue says {data.origin[:20]}")
        else:
            bid, ask = self._quotes.get(data.symbol, ("", ""))
            self._take(
                Trade(
                    data.symbol,
                    data.price,
                    data.trade_id,
                    0,
                    data.size,
                    "sell" if data.is_maker_buying else "buy",
                    bid,
                    ask,
                    iso_of_ms(data.traded_ms),
                ),
                received_ns,
            )

    # -- messages that are no prices -----------------------------------------------------------------------------

    def _control(self, message: _Frame, payload: bytes, received_ns: int) -> None:
        if message.error is not None:
            self.counters.errors += 1
            self._fail(f"{message.error.code}: {message.error.msg}")
            self._session.nudge()
        elif message.id is not None:
            self.counters.acknowledgements += 1
            self._answered(message.id, message.result, received_ns)
        else:
            self._event(message.e or message.stream, payload, received_ns)

    def _answered(self, number: int, result: list[str] | None, received_ns: int) -> None:
        now = time.monotonic()
        if result is not None:
            listed = set(result)
            mine = [s for s in self._subscriptions.wanted() if all(stream in listed for stream in _streams((s,)))]
            self._subscriptions.acknowledged(mine, now)
            self._live(received_ns)
        elif number in self._asked:
            self._subscriptions.confirmed(self._asked.pop(number), now)
        self._session.nudge()

    def _event(self, kind: str, payload: bytes, received_ns: int) -> None:
        """Leave at once when the venue is about to; ignore what we did not ask for; keep what is nothing."""
        if kind.lstrip("!") == "serverShutdown":
            self.counters.ignored += 1
            raise Dropped("server_shutdown", "the venue announced it")
        if kind:
            self.counters.ignored += 1
        else:
            self._garbage(payload, received_ns, "neither an event nor an answer")

    def _unreadable(self, payload: bytes, received_ns: int, error: Exception) -> None:
        """Tell a stream that we do not know, which is allowed, from garbage, which is kept for a person."""
        try:
            unknown = _decode_unknown(payload)
        except UNREADABLE:
            self._garbage(payload, received_ns, str(error))
            return
        kind = unknown.stream.partition("@")[2] or unknown.stream or unknown.e
        if kind and kind not in ("trade", "aggTrade", "bookTicker"):
            self.counters.ignored += 1
        else:
            self._garbage(payload, received_ns, str(error))


def _streams(symbols: Sequence[str]) -> list[str]:
    return [f"{symbol.lower()}@{kind}" for symbol in symbols for kind in ("trade", "bookTicker")]
