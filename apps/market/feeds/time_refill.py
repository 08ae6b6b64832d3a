"""How do missed trades come back where numbers say nothing? A thread asks the venue for blind spans, by time.

The twin of `refill` for feeds whose numbering is not consecutive: the same questions while the feed is silent, order by
the venue's time in place of numbers, and spans in place of holes.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, runtime_checkable

from msgspec.structs import replace

from apps.domain import feed_rules
from apps.domain.ticks import Tick
from apps.market.feeds.asking import Asking, RefillTimings
from apps.market.feeds.base import VenueRest
from apps.market.feeds.rest import FeedUnavailable

log = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@runtime_checkable
class RestByTime(Protocol):
    """A venue that gives trades of a span of time."""

    def trades_between(self, symbol: str, since: datetime, until: datetime) -> list[Tick]:
        """Return the trades of [since, until), oldest first, marked as refilled. Raises FeedUnavailable."""


class SpanSink(Protocol):
    """Who takes what is found; called in the refiller's thread, `unseen` also in the thread that calls `blind`."""

    def refilled(self, ticks: list[Tick]) -> None:
        """Take trades of one product, oldest first, each marked as refilled."""

    def unseen(self, symbol: str, since_ns: int, until_ns: int, reason: str) -> None:
        """Note that what was traded between these instants will not come."""


@dataclass(slots=True)
class SpanCounters:
    """What the refiller has counted since it started."""

    requested: int = 0  # spans
    delivered: int = 0  # trades
    unseen: int = 0  # spans
    asks: int = 0
    polls: int = 0
    failures: int = 0


@dataclass(slots=True, eq=False)
class _Span:
    """One span to ask for, when next (monotonic seconds), and how often it was asked in vain."""

    symbol: str
    since_ns: int
    until_ns: int
    ask_at: float
    failed: int = 0


class TimeRefiller(Asking):
    """Fetches blind spans and polls last prices. `blind` and `poll` return at once and are safe from any thread."""

    def __init__(
        self,
        rest: VenueRest,
        sink: SpanSink,
        *,
        last_price: Callable[[str], float],
        timings: RefillTimings | None = None,
        overlap: float = 5.0,
        longest: float = 3600.0,
    ) -> None:
        super().__init__(rest, timings, "feed-time-refill")
        self.counters = SpanCounters()
        self._sink = sink
        self._last_price = last_price
        self._overlap_ns = int(overlap * 1e9)  # a venue's time lags behind ours: the beginning is asked for earlier
        self._longest_ns = int(longest * 1e9)  # of one span: a week of trades would not fit into memory
        self._waiting: deque[_Span] = deque()
        self._spans: list[_Span] = []
        self._polled: dict[str, tuple[int, str]] = {}

    # -- for any thread ------------------------------------------------------------------------------------------

    @property
    def can_ask(self) -> bool:
        """Say whether the venue gives trades of a span of time."""
        return isinstance(self._rest, RestByTime)

    def blind(self, symbol: str, since_ns: int, until_ns: int) -> None:
        """Ask for what was traded between two instants (wall clock)."""
        self.counters.requested += 1
        if not self.can_ask:
            self._give_up(symbol, since_ns, until_ns, "the venue gives no trades by time")
        elif len(self._waiting) >= self._timings.max_waiting:
            self._give_up(symbol, since_ns, until_ns, "too many spans are waiting")
        else:
            oldest_ns = max(since_ns, until_ns - self._longest_ns)
            if oldest_ns > since_ns:
                self._give_up(symbol, since_ns, oldest_ns, f"more than {self._longest_ns / 1e9:.0f} s of trades")
            # Not before the venue's REST side has caught up with what its stream shows already.
            self._waiting.append(_Span(symbol, oldest_ns, until_ns, time.monotonic() + self._timings.linger))
            self._wake.set()

    def idle(self) -> bool:
        """Say whether every span so far is fetched or given up."""
        return not self._waiting and not self._spans and not self._is_busy

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            while self._waiting:
                self._spans.append(self._waiting[0])
                self._waiting.popleft()  # last, so that `idle` never sees it in neither place
            now = time.monotonic()
            due = next((span for span in self._spans if span.ask_at <= now), None)
            if due is not None:
                self._is_busy = True
                self._fill(due)
                self._is_busy = False
            elif self._symbols and now >= self._round_at:
                self._round_at = now + self._timings.poll_every
                self._poll_round()
            else:
                self._wake.wait(self._pause(now, [span.ask_at for span in self._spans]))

    def _fill(self, span: _Span) -> None:
        self._spans.remove(span)
        rest = self._rest
        assert isinstance(rest, RestByTime)
        try:
            self.counters.asks += 1
            since, until = _instant(span.since_ns - self._overlap_ns), _instant(span.until_ns)
            found = rest.trades_between(span.symbol, since, until)
        except FeedUnavailable as failure:
            self._failed(span, failure)
            return
        if found:
            self._deliver(found)

    def _failed(self, span: _Span, failure: FeedUnavailable) -> None:
        self.counters.failures += 1
        if self._stopping.is_set():
            return
        span.failed += 1
        if failure.permanent or span.failed >= self._timings.attempts:
            self._give_up(span.symbol, span.since_ns, span.until_ns, str(failure))
            return
        span.ask_at = time.monotonic() + self._timings.retry_after(span.failed)
        self._spans.append(span)

    def _poll_round(self) -> None:
        for symbol in self._symbols:
            if self._stopping.is_set() or self._waiting:
                return
            self.counters.polls += 1
            try:
                tick = self._rest.ticker(symbol)
            except FeedUnavailable as failure:
                self.counters.failures += 1
                log.info("no ticker of %s: %s", symbol, failure)
                continue
            self._polled_one(symbol, tick)

    def _polled_one(self, symbol: str, tick: Tick) -> None:
        """Hand a polled price on when it is newer than the one polled before, or another one where no time is told."""
        at_ns, text = self._polled.get(symbol, (0, ""))
        venue_ns = feed_rules.instant_ns(tick.venue_time)
        is_news = tick.text != text if venue_ns is None else venue_ns > at_ns
        if not is_news:
            return
        self._polled[symbol] = (venue_ns or at_ns, tick.text)
        # The first answer may be hours old: it is shown, and triggers nothing unless it is of now.
        is_old = venue_ns is None or tick.received_ns - venue_ns > self._overlap_ns
        self._deliver([replace(tick, snapshot=not text and is_old)])

    def _deliver(self, ticks: list[Tick]) -> None:
        self.counters.delivered += len(ticks)
        self._sink.refilled(self._marked(ticks, self._last_price(ticks[0].symbol)))

    def _give_up(self, symbol: str, since_ns: int, until_ns: int, reason: str) -> None:
        self.counters.unseen += 1
        log.warning("what %s traded from %s to %s stays unseen: %s", symbol, since_ns, until_ns, reason)
        self._sink.unseen(symbol, since_ns, until_ns, reason)


def _instant(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
