"""What do the WebSocket venues have in common? A session, subscriptions, and messages sent no faster than allowed."""

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

import msgspec

from apps.market.feeds.base import FeedConfig, FeedSink, FeedState
from apps.market.feeds.gated import GatedFeed
from apps.market.feeds.session import FeedSession
from apps.market.feeds.subscriptions import Subscriptions
from apps.market.feeds.wire import Dropped

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_IDLE = 60.0


class StreamingFeed(GatedFeed):
    """A venue on one WebSocket. A dialect says what to send (`subscribing`, ...) and reads what comes (`text`)."""

    send_spacing: ClassVar[float] = 0.0  # seconds between two of our messages that the venue insists on
    session_life: ClassVar[float] = 0.0  # seconds after which we leave before the venue throws us out; 0 for never
    tells_mute: ClassVar[bool] = False  # the venue confirms products it does not have, so silence must be told

    def __init__(self, config: FeedConfig, sink: FeedSink) -> None:
        super().__init__(config, sink)
        self._subscriptions = Subscriptions(timings=config.timings, batch=config.batch)
        self._send: Callable[[str], None] | None = None
        self._spacing = max(config.timings.frame_spacing, self.send_spacing)
        self._send_at = 0.0
        self._ask_at = 0.0
        self._leave_at = 0.0
        self._is_ready = True  # the venue lets us subscribe
        self._outbox: deque[str] = deque()
        self._quotes: dict[str, tuple[str, str]] = {}  # best bid and ask, where they come in messages of their own
        self._session = FeedSession(replace(config, ws_url=self.address()), self, self.counters, sink.state)
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

    # -- the dialect ---------------------------------------------------------------------------------------------

    def address(self) -> str:
        """Return where to connect."""
        return self.config.ws_url

    @abstractmethod
    def subscribing(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the messages that ask for these products."""

    @abstractmethod
    def leaving(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the messages that give these products up."""

    def greeting(self) -> Sequence[str]:
        """Return what is sent first in a session."""
        return ()

    def asking(self) -> Sequence[str]:
        """Return a question that the venue answers at once: the sign of life of venues that send none."""
        return ()

    @abstractmethod
    def text(self, payload: bytes, received_ns: int) -> None:
        """Take one text message: the hot path."""

    # -- for the session -----------------------------------------------------------------------------------------

    def opened(self, send: Callable[[str], None]) -> None:
        """Begin a session: everything is to be subscribed again."""
        self._gate.session_opened()
        self._subscriptions.session_opened()
        self._quotes = {}
        self._outbox = deque(self.greeting())
        now = time.monotonic()
        self._ask_at = now + self.config.timings.ask_every
        self._leave_at = now + self.session_life if self.session_life else 0.0
        self._send = send

    def closed(self) -> None:
        """End the session: nothing can be sent."""
        self._send = None

    def binary(self, payload: bytes, received_ns: int) -> None:
        """Take one binary message, which these venues never send."""
        self.counters.received += 1
        self.counters.quarantine(payload, reason="a binary message", received_ns=received_ns)

    def work(self) -> float:
        """Send the next message that is due; return the seconds until the next call. May raise Dropped."""
        send, outbox, now = self._send, self._outbox, time.monotonic()
        if send is None:
            return _IDLE  # the session nudges when it opens
        if now < self._send_at:
            return self._send_at - now
        if self._leave_at and now > self._leave_at:
            raise Dropped("rotation")
        if not outbox:
            outbox.extend(self._next_messages(now))
        if not outbox:
            return self.config.timings.watch_every
        self._send_at = now + self._spacing
        send(outbox.popleft())
        return self._spacing

    def _next_messages(self, now: float) -> Sequence[str]:
        if not self._is_ready:
            return ()
        if leaving := self._subscriptions.next_leaving():
            return self.leaving(leaving)
        chosen, unanswered = self._subscriptions.next_batch(now)
        for symbol in unanswered:
            self.sink.refused(symbol, "the venue does not answer the subscription")
        if chosen:
            return self.subscribing(chosen)
        if now < self._ask_at:
            return ()
        self._ask_at = now + self.config.timings.ask_every
        self._tell_mute(now)
        return self.asking()

    def _tell_mute(self, now: float) -> None:
        if not self.tells_mute:
            return
        known = {s for s in self._subscriptions.wanted() if s in self._quotes or self._gate.last_price(s)}
        for symbol in self._subscriptions.mute(now, known):
            self.sink.refused(symbol, "the venue confirms it and sends nothing: is it a product of this venue?")

    # -- for the dialects ----------------------------------------------------------------------------------------

    def _live(self, received_ns: int) -> None:
        """Take a sign of life of the whole connection as one of every product that the venue delivers."""
        now = time.monotonic()
        delivered = self._subscriptions.delivered()
        for symbol in delivered:
            self._subscriptions.beat(symbol, now)
        self._hear(delivered, received_ns)

    def _refuse(self, symbol: str, reason: str) -> None:
        if self._subscriptions.refuse(symbol):
            self.sink.refused(symbol, reason[:200])

    def _fail(self, reason: str, named: Iterable[str] = ()) -> None:
        """Take an error about the message that is out."""
        for symbol in self._subscriptions.failed(set(named), time.monotonic()):
            self.sink.refused(symbol, reason[:200])

    def _garbage(self, payload: bytes, received_ns: int, reason: str) -> None:
        self.counters.quarantine(payload, reason=reason[:120], received_ns=received_ns)


def frame(message: object) -> str:
    """Return a message of ours as it goes over the wire."""
    return msgspec.json.encode(message).decode()
