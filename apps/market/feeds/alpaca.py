"""How are prices of US equities received from Alpaca? Trades and quotes of one exchange (IEX) or of all of them (SIP).

Protocol: https://docs.alpaca.markets/docs/streaming-market-data. Every message is an array. A trade id tells two trades
apart and no more, so order is read from the time. Corrections and cancellations of earlier trades come by themselves
with the trades; they move nothing. Outside market hours nothing is sent, so the venue is asked for its subscriptions.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import msgspec

from apps.market.feeds.alpaca_rest import NOT_NOW, AlpacaRest
from apps.market.feeds.base import FeedConfig, FeedSink, FeedTimings, Numbering, VenueRest
from apps.market.feeds.exact import NOTHING, number
from apps.market.feeds.gated import Trade
from apps.market.feeds.streaming import UNREADABLE, StreamingFeed, frame
from apps.market.feeds.wire import Dropped

TRADING = "https://paper-api.alpaca.markets"

_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_AUTH = frozenset({401, 402, 404})
_LIMITS = frozenset({406, 407})
_SUBSCRIBING = frozenset({400, 405, 408, 409, 410})


class _Trade(msgspec.Struct, tag_field="T", tag="t", gc=False):
    S: str
    p: msgspec.Raw = NOTHING
    i: _Id = 0
    s: msgspec.Raw = NOTHING
    t: str = ""
    c: list[str] | None = None


class _Quote(msgspec.Struct, tag_field="T", tag="q", gc=False):
    S: str
    bp: msgspec.Raw = NOTHING
    ap: msgspec.Raw = NOTHING


class _Correction(msgspec.Struct, tag_field="T", tag="c", gc=False):
    S: str = ""


class _Cancellation(msgspec.Struct, tag_field="T", tag="x", gc=False):
    S: str = ""


class _Success(msgspec.Struct, tag_field="T", tag="success"):
    msg: str = ""


class _Subscription(msgspec.Struct, tag_field="T", tag="subscription"):
    trades: list[str] | None = None
    quotes: list[str] | None = None


class _Error(msgspec.Struct, tag_field="T", tag="error"):
    code: int = 0
    msg: str = ""


class _Unknown(msgspec.Struct):
    T: str


_Item = _Trade | _Quote | _Correction | _Cancellation | _Success | _Subscription | _Error
_KNOWN = frozenset({"t", "q", "c", "x", "success", "subscription", "error"})
_decode = msgspec.json.Decoder(list[_Item]).decode
_decode_item = msgspec.json.Decoder(_Item).decode
_decode_parts = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_unknown = msgspec.json.Decoder(_Unknown).decode


class AlpacaFeed(StreamingFeed):
    """Trades and quotes of Alpaca's stock stream; one connection per account, and a key is needed."""

    name = "alpaca"
    title = "Alpaca"
    ws_url = "wss://stream.data.alpaca.markets"
    rest_url = "https://data.alpaca.markets"
    numbering = Numbering.IDENTITY
    timings = FeedTimings(ask_every=10.0, stale_after=25.0, kill_after=45.0, policy_delay=5.0)
    send_spacing = 0.2
    needs_key = True
    max_sessions = 1
    options: ClassVar[Mapping[str, str]] = {
        "source": "iex (default, free: one exchange), sip (all exchanges) or delayed_sip.",
        "trading_url": "Where the list of assets and the market's clock are: https://paper-api.alpaca.markets.",
    }

    def __init__(self, config: FeedConfig, sink: FeedSink) -> None:
        self._source = config.options.get("source", "iex")
        super().__init__(config, sink)

    def rest(self) -> VenueRest:
        """Return a new client of the venue's REST interface; the caller closes it."""
        config = self.config
        return AlpacaRest(
            config.rest_url,
            key=config.key,
            secret=config.secret,
            source=self._source,
            trading_url=config.options.get("trading_url", "") or (TRADING if config.rest_url == self.rest_url else ""),
        )

    def address(self) -> str:
        """Return the address of the chosen source below the venue's host."""
        base = self.config.ws_url.rstrip("/")
        return base if "/v2/" in base else f"{base}/v2/{self._source}"

    def greeting(self) -> Sequence[str]:
        """Return nothing: the venue speaks first, and wants to know who we are before anything else."""
        self._is_ready = False
        return ()

    def subscribing(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the message that asks for these products."""
        return (frame({"action": "subscribe", "trades": symbols, "quotes": symbols}),)

    def leaving(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the message that gives these products up."""
        return (frame({"action": "unsubscribe", "trades": symbols, "quotes": symbols}),)

    def asking(self) -> Sequence[str]:
        """Return a subscription that is there already: its answer is the list of all of them."""
        return self.subscribing(sorted(self._subscriptions.delivered())[:1]) if self._subscriptions.delivered() else ()

    def text(self, payload: bytes, received_ns: int) -> None:
        """Take one array of messages: the hot path. Raises Dropped when the venue sends us away."""
        try:
            items = _decode(payload)
        except UNREADABLE as error:
            self._one_by_one(payload, received_ns, error)
            return
        if not items:
            self.counters.received += 1
            self.counters.ignored += 1
        for item in items:
            self.counters.received += 1
            self._item(item, received_ns)

    def _item(self, item: _Item, received_ns: int) -> None:
        match item:
            case _Trade():
                self._trade(item, received_ns)
            case _Quote():
                self.counters.ignored += 1
                self._quotes[item.S] = number(item.bp), number(item.ap)
                self._gate.alive(item.S, received_ns)
            case _Correction():
                self.counters.rejected["a correction"] += 1
            case _Cancellation():
                self.counters.rejected["a cancellation"] += 1
            case _Success() | _Subscription():
                self.counters.acknowledgements += 1
                self._answered(item, received_ns)
            case _Error():
                self.counters.errors += 1
                self._failed(item)

    def _trade(self, item: _Trade, received_ns: int) -> None:
        if item.c and not NOT_NOW.isdisjoint(item.c):
            self._gate.skip(item.S, item.i, "not a price of now")
            return
        bid, ask = self._quotes.get(item.S, ("", ""))
        self._gate.take(
            Trade(item.S, number(item.p), item.i, 0, number(item.s), "", bid, ask, item.t),
            received_ns,
        )

    def _answered(self, item: _Success | _Subscription, received_ns: int) -> None:
        if isinstance(item, _Subscription):
            listed = set(item.trades or ()) & set(item.quotes or ())
            self._subscriptions.acknowledged(listed, time.monotonic())
            self._live(received_ns)
        elif item.msg == "connected":
            auth = {"action": "auth", "key": self.config.key, "secret": self.config.secret}
            self._outbox.append(frame(auth))
        elif item.msg == "authenticated":
            self._is_ready = True
        self._session.nudge()

    def _failed(self, error: _Error) -> None:
        words = f"{error.code} {error.msg}"
        if error.code in _AUTH:
            raise Dropped(f"refused_{error.code}", error.msg, is_policy=True, retry_after=60.0)
        if error.code in _LIMITS:
            # 406: another listener of this account is connected; it may be about to leave.
            raise Dropped(f"refused_{error.code}", error.msg, is_policy=error.code == 406)
        if error.code == 403:
            self._is_ready = True  # authenticated already
        elif error.code in _SUBSCRIBING:
            self._fail(words)
        self._session.nudge()

    def _one_by_one(self, payload: bytes, received_ns: int, error: Exception) -> None:
        """Read an array part by part: one message of a kind we do not know never costs its neighbours."""
        try:
            parts = _decode_parts(payload)
        except UNREADABLE:
            self.counters.received += 1
            self._garbage(payload, received_ns, str(error))
            return
        for part in parts:
            self.counters.received += 1
            try:
                item = _decode_item(part)
            except UNREADABLE as refusal:
                self._unreadable(bytes(part), received_ns, refusal)
            else:
                self._item(item, received_ns)

    def _unreadable(self, payload: bytes, received_ns: int, error: Exception) -> None:
        try:
            kind = _decode_unknown(payload).T
        except UNREADABLE:
            kind = ""
        if kind and kind not in _KNOWN:
            self.counters.ignored += 1
        else:
            self._garbage(payload, received_ns, str(error))
