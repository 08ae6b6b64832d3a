"""Where a listener's prices come from: one feed per venue named by its instruments, and which of two counts."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.domain.plugins import PluginError
from apps.domain.ticks import Tick
from apps.market.feeds import FEEDS
from apps.market.feeds.base import Feed, FeedState, FeedStatus, Numbering
from apps.market.feeds.configuring import config_for, plugin_of
from apps.market.feeds.refill import Refiller
from apps.market.feeds.switch import Pair, Switchboard, Switched
from apps.market.feeds.time_refill import TimeRefiller
from apps.market.services.venues import feed_settings
from apps.trading.watches import Followed
from workers.listener.tape import Tape, from_ns
from workers.listener.watch import Watcher

log = logging.getLogger(__name__)

_SHORT_NS = 5_000_000_000  # as long as a feed may be silent before it counts as stale
_POLL_ALL_WHEN = frozenset({FeedStatus.STALE, FeedStatus.DOWN, FeedStatus.CONNECTING})


class Source:
    """One feed with its refiller. Hands on the prices of the instruments that count on it, and only those."""

    def __init__(self, name: str, watcher: Watcher, board: Switchboard) -> None:
        self.name = name
        self.tapes: dict[str, Tape] = {}  # by the venue's own symbol
        self.status = FeedState(status=FeedStatus.DOWN, reason="not started", session=0, at_ns=0)
        self.refusals: dict[str, str] = {}
        self.unknown: deque[tuple[int, datetime, datetime, str]] = deque(maxlen=10_000)
        self.feed: Feed | None = None
        self._away: dict[str, int] = {}  # products that nobody listened to since an instant (ns), until they are heard
        self.refiller: Refiller | TimeRefiller | None = None
        self._watcher = watcher
        self._board = board

    def open(self, known: Mapping[str, int]) -> None:
        """Make the feed and its refiller; the trades after the known ones are asked for. Raises PluginError."""
        config = config_for(FEEDS, self.name, feed_settings(), products=tuple(self.tapes), known_trade_ids=known)
        self.feed = feed = FEEDS.get(plugin_of(self.name))(config, self)
        if feed.numbering is Numbering.CONSECUTIVE:
            self.refiller = Refiller(feed.rest(), self, last_trade_id=feed.last_trade_id, last_price=feed.last_price)
        else:
            self.refiller = TimeRefiller(feed.rest(), self, last_price=feed.last_price)
        self.refiller.start()
        self._set_up(feed)

    def adopt(self, tapes: Iterable[Tape]) -> None:
        """Be the one source of these tapes, under their own names: for a feed that somebody else runs."""
        for tape in tapes:
            self.tapes[tape.symbol] = tape
            tape.source = self.name

    @property
    def is_exclusive(self) -> bool:
        """Say whether the venue grants one connection only: a standby must not take it from its leader."""
        return self.feed is not None and self.feed.max_sessions == 1

    def run(self) -> None:
        """Receive until stopped."""
        assert self.feed is not None
        self.feed.run()

    def stop(self) -> None:
        """Stop receiving."""
        if self.feed is not None:
            self.feed.stop()

    def follow(self, wanted: Mapping[str, Tape], known: Mapping[str, int], heard: Mapping[str, int]) -> None:
        """Follow exactly these products from now on, the new ones from what is known of them: a trade, or a time."""
        gone = [symbol for symbol in self.tapes if symbol not in wanted]
        self._away |= {symbol: heard_ns for symbol, heard_ns in heard.items() if symbol not in self.tapes}
        self.tapes = dict(wanted)
        if self.feed is not None:
            self.feed.know(known)
            self.feed.add_products(symbol for symbol in wanted if symbol not in self.feed.products())
            self.feed.remove_products(gone)
            self._set_up(self.feed)

    def _set_up(self, feed: Feed) -> None:
        for symbol, tape in self.tapes.items():
            feed.set_jump_band(symbol, tape.jump_band)
            tape.numbered = feed.numbering is Numbering.CONSECUTIVE and not tape.has_two

    def mind_silence(self) -> None:
        """Ask by REST for prices while the socket is silent: a stop must not wait for a reconnect."""
        if self.refiller is not None and self.feed is not None:
            silent = self.status.status in _POLL_ALL_WHEN
            self.refiller.poll(self.feed.products() if silent else ())
            if self.refiller.idle():
                self._forget_gaps(time.monotonic() - 1.0)

    def _forget_gaps(self, before: float) -> None:
        for tape in self.tapes.values():
            if tape.gap_from and tape.gap_at < before and tape.source == self.name:
                tape.gap_from = 0

    # -- from the feed, in the receive thread --------------------------------------------------------------------------

    def tick(self, tick: Tick) -> None:
        """Hand on a print of an instrument that counts on this source; of another it is a sign of life."""
        tape = self.tapes.get(tick.symbol)
        if tape is None:
            return  # on its way out: no longer followed here
        if tape.has_two:
            self._board.heard(tape.symbol, self.name, time.monotonic())
        if tape.source == self.name:
            if self._away:
                self._is_back(tick.symbol, tick.received_ns)
            self._watcher.take(tape, tick)

    def heard(self, symbol: str, received_ns: int) -> None:
        """Note that the feed of this product is alive."""
        tape = self.tapes.get(symbol)
        if tape is None:
            return
        if tape.has_two:
            self._board.heard(tape.symbol, self.name, time.monotonic())
        if tape.source == self.name:
            if self._away:
                self._is_back(symbol, received_ns)
            tape.heard_ns = received_ns

    def _is_back(self, symbol: str, received_ns: int) -> None:
        """Have the time fetched in which no listener heard a product that has no numbers to tell what was missed."""
        since_ns, refiller = self._away.pop(symbol, 0), self.refiller
        is_worth_it = isinstance(refiller, TimeRefiller) and (refiller.can_ask or received_ns - since_ns > _SHORT_NS)
        if since_ns and is_worth_it:
            self.blind(symbol, since_ns, received_ns)

    def gap(self, symbol: str, first_id: int, last_id: int) -> None:
        """Have the missing trades fetched; until they are here a restart begins with them."""
        if self._counts(symbol) and isinstance(self.refiller, Refiller):
            tape = self.tapes[symbol]
            tape.gap_from = min(tape.gap_from or first_id, first_id)
            tape.gap_at = time.monotonic()
            self.refiller.request(symbol, first_id, last_id)

    def blind(self, symbol: str, since_ns: int, until_ns: int) -> None:
        """Have the time fetched in which nothing was heard."""
        if self._counts(symbol) and isinstance(self.refiller, TimeRefiller):
            self.refiller.blind(symbol, since_ns, until_ns)

    def state(self, state: FeedState) -> None:
        """Remember how the feed is doing."""
        self.status = state
        if state.status in {FeedStatus.STALE, FeedStatus.DOWN}:
            self._board.lost(self.name)

    def refused(self, symbol: str, reason: str) -> None:
        """Remember that the venue does not deliver a product."""
        self.refusals[symbol] = reason

    # -- from the refiller ---------------------------------------------------------------------------------------------

    def refilled(self, ticks: Sequence[Tick]) -> None:
        """Hand on late trades, oldest first, of instruments that count on this source."""
        groups: dict[str, list[Tick]] = {}
        for tick in ticks:
            groups.setdefault(tick.symbol, []).append(tick)
        for symbol, group in groups.items():
            if self._counts(symbol):
                self._watcher.take_late(self.tapes[symbol], group)

    def uncovered(self, symbol: str, first_id: int, last_id: int, reason: str) -> None:
        """Count trades that the venue will not give us any more."""
        self._watcher.uncovered(symbol, first_id, last_id, reason)

    def unseen(self, symbol: str, since_ns: int, until_ns: int, reason: str) -> None:
        """Count time of which the venue will not tell us any more, and keep it to be written down."""
        self._watcher.blind(symbol, since_ns, until_ns)
        if symbol in self.tapes:
            self.unknown.append((self.tapes[symbol].instrument_id, from_ns(since_ns), from_ns(until_ns), reason))

    def _counts(self, symbol: str) -> bool:
        tape = self.tapes.get(symbol)
        return tape is not None and tape.source == self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """A product of one feed and the tape its prices go to; the last trade id kept from there and when, or 0."""

    feed: str
    symbol: str
    tape: Tape
    known: int
    heard: int


class Sources:
    """Every feed of a listener's shard, and the switch between two of one instrument."""

    def __init__(self, watcher: Watcher, start: Callable[[Source], None]) -> None:
        self.by_name: dict[str, Source] = {}
        self.broken: dict[str, str] = {}  # feeds that could not be set up, and why
        self._watcher = watcher
        self._start = start
        self._board = Switchboard()

    def follow(self, rows: Iterable[Followed]) -> None:
        """Follow exactly these instruments."""
        rows = list(rows)
        wishes = [wish for row in rows for wish in self._wishes(row)]
        pairs = [Pair(instrument=row.symbol, primary=row.feed, fallback=row.fallback) for row in rows if row.fallback]
        self._board.follow(pairs, time.monotonic())
        self._watcher.keep_only({row.symbol for row in rows})
        for name in {wish.feed for wish in wishes} | set(self.by_name):
            self._source(name, [wish for wish in wishes if wish.feed == name])

    def judge(self, now: datetime) -> list[Switched]:
        """Let every instrument with two sources count on the one that lives; return what changed."""
        changed = self._board.judge(time.monotonic(), now)
        for switched in changed:
            tape = self._watcher.tapes.get(switched.instrument)
            if tape is not None:
                tape.source = switched.to_feed
                log.warning("%s: %s -> %s: %s", switched.instrument, switched.from_feed, switched.to_feed, switched.why)
        return changed

    def dead_refillers(self) -> list[str]:
        """Name the feeds whose refiller died."""
        return [name for name, source in self.by_name.items() if source.refiller and not source.refiller.alive()]

    def facts(self) -> dict[str, Any]:
        """Return what the feeds count together, and each one's state."""
        states = {name: source.status for name, source in self.by_name.items()}
        counters = [source.feed.counters for source in self.by_name.values() if source.feed]
        worst = next((state for state in states.values() if state.status is not FeedStatus.LIVE), None)
        shown = worst or next(iter(states.values()), None)
        return {
            "feed": str(shown.status) if shown else "none",
            "feed_reason": shown.reason if shown else "; ".join(self.broken.values()) or "no instruments",
            "feeds": {name: str(state.status) for name, state in states.items()} | dict.fromkeys(self.broken, "broken"),
            "sessions": sum(counter.sessions for counter in counters),
            "garbage": sum(counter.garbage for counter in counters),
            "rejected": sum(sum(counter.rejected.values()) for counter in counters),
            "gaps": sum(counter.gaps for counter in counters),
            "duplicates": sum(counter.duplicates for counter in counters),
            "refused": {s: why for source in self.by_name.values() for s, why in list(source.refusals.items())[:20]},
        }

    def stop(self) -> None:
        """Stop every refiller; the feeds are stopped by their threads' owner."""
        for source in self.by_name.values():
            if source.refiller is not None:
                source.refiller.stop(timeout=1.0)

    def _wishes(self, row: Followed) -> Iterable[_Wish]:
        tape = self._watcher.follow(row.symbol, row.instrument_id)
        tape.source = self._board.source_of(row.symbol) or row.feed
        tape.has_two = bool(row.fallback)
        tape.jump_band = row.jump_band
        yield _Wish(feed=row.feed, symbol=row.symbol, tape=tape, known=row.known(row.feed), heard=row.heard(row.feed))
        if row.fallback:
            symbol = row.fallback_symbol or row.symbol
            known, heard = row.known(row.fallback), row.heard(row.fallback)
            yield _Wish(feed=row.fallback, symbol=symbol, tape=tape, known=known, heard=heard)

    def _source(self, name: str, wishes: Sequence[_Wish]) -> None:
        wanted = {wish.symbol: wish.tape for wish in wishes}
        known = {wish.symbol: wish.known for wish in wishes if wish.known}
        heard = {wish.symbol: wish.heard for wish in wishes if wish.heard}
        source = self.by_name.get(name)
        if source is not None:
            source.follow(wanted, known, heard)
            return
        if name in self.broken:
            return
        source = Source(name, self._watcher, self._board)
        source.follow(wanted, known, heard)
        try:
            source.open(known)
        except PluginError as error:
            self.broken[name] = str(error)
            log.error("the feed %s cannot be used: %s", name, error)  # noqa: TRY400  # a setting, not a bug
            return
        self.by_name[name] = source
        self._start(source)
