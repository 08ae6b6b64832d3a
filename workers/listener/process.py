"""The listener as a process: threads around the receive thread, and an end as soon as one of them is not well."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection

from apps.journal import pulses
from apps.market import store
from apps.market.feeds import FEEDS
from apps.market.feeds.base import Feed, FeedConfig, FeedStatus
from apps.market.feeds.refill import Refiller
from apps.market.services import feeds as feed_rows
from apps.trading import watches
from workers.listener.emit import Emitter
from workers.listener.flush import Periodic, QuoteFlusher, Recorder, Screens
from workers.listener.leader import Leadership
from workers.listener.levels import Levels
from workers.listener.watch import Watcher

log = logging.getLogger(__name__)

_FEED = "coinbase"


class Listener:
    """One listener of a shard: it evaluates always, and writes while it leads."""

    def __init__(self, shard: int, ring: Callable[[], None]) -> None:
        self.shard = shard
        self.role = f"listener:{shard}"
        self.started_at = datetime.now(UTC)
        self.leadership = Leadership(self.role)
        self.emitter = Emitter(self.leadership, ring)
        self.watcher = Watcher(self.emitter.put, self._gap)
        self.levels = Levels(shard, self.watcher, self.emitter)
        self.flusher = QuoteFlusher(self.watcher, self.emitter, self.leadership)
        self.recorder = Recorder(self.watcher, self.leadership, store.connect(settings.MARKET_DATABASE_URL))
        self.feed: Feed | None = None
        self.refiller: Refiller | None = None
        self._threads: list[threading.Thread] = []
        self._stops: list[Callable[[], None]] = []
        self._broken: list[str] = []
        self._stopping = threading.Event()
        self._rate = _Rate()

    def run(self) -> int:
        """Listen until stopped; return the exit status: 0 when asked to stop, 1 when something inside ended."""
        known = self._follow_instruments()
        watched = self.levels.start()
        log.info("%s watches %d legs of %d instruments", self.role, watched, len(self.watcher.tapes))
        self._start_feed(known)
        self._start_threads()
        while not self._stopping.wait(0.1):
            if self.leadership.usurped.is_set():
                log.warning("%s: another listener led meanwhile; ending, to start again from the database", self.role)
                self._broken.append("leadership")
            if self.refiller is not None and not self.refiller.alive():
                log.error("%s: the refiller died", self.role)
                self._broken.append("refill")
            if self._broken:
                break
        self._shut_down()
        return 1 if self._broken else 0

    def stop(self) -> None:
        """Ask the listener to end; safe in a signal handler."""
        self._stopping.set()

    def facts(self) -> dict[str, Any]:
        """Return what the listener counts, for its pulse."""
        counters = self.feed.counters if self.feed else None
        return {
            "leads": self.leadership.leads.is_set(),
            "epoch": self.leadership.epoch,
            "ticks": self.watcher.ticks,
            "ticks_per_second": self._rate.of(self.watcher.ticks),
            "legs": sum(len(tape.book) for tape in list(self.watcher.by_id.values())),
            "crossings_written": self.emitter.written,
            "crossings_waiting": len(self.emitter),
            "ticks_stored": self.recorder.stored,
            "ticks_dropped": self.recorder.dropped,
            "trades_lost": self.watcher.lost_trades,
            "feed": str(self.watcher.status.status),
            "feed_reason": self.watcher.status.reason,
            "sessions": counters.sessions if counters else 0,
            "garbage": counters.garbage if counters else 0,
            "rejected": sum(counters.rejected.values()) if counters else 0,
            "gaps": counters.gaps if counters else 0,
            "duplicates": counters.duplicates if counters else 0,
            "refused": dict(list(self.watcher.refusals.items())[:20]),
            "level_age_ms": round((time.monotonic() - self.levels.seen_at) * 1000),
        }

    def _follow_instruments(self) -> dict[str, int]:
        known = {}
        for instrument_id, symbol, trade_id in watches.instruments(self.shard):
            self.watcher.follow(symbol, instrument_id)
            known[symbol] = trade_id
        return known

    def _start_feed(self, known: dict[str, int]) -> None:
        config = FeedConfig(
            ws_url=settings.COINBASE_WS_URL,
            rest_url=settings.COINBASE_REST_URL,
            products=tuple(known),
            known_trade_ids={symbol: trade_id for symbol, trade_id in known.items() if trade_id},
        )
        self.feed = FEEDS.get(_FEED)(config, self.watcher)
        self.refiller = Refiller(
            self.feed.rest(),
            self.watcher,
            last_trade_id=self.feed.last_trade_id,
            last_price=self.feed.last_price,
        )
        self.refiller.start()

    def _start_threads(self) -> None:
        assert self.feed is not None
        periodic = [
            Periodic("quotes", self.flusher.step, 0.25),
            Periodic("screens", Screens(self.flusher).step, 0.25),
            Periodic("pulse", self._pulse, 1.0),
            Periodic("instruments", self._instruments, 1.0),
            Periodic("silence", self._silence, 1.0),
        ]
        if settings.RECORD_TICKS:
            periodic.append(Periodic("ticks", self.recorder.step, 0.5))
        jobs: list[tuple[str, Callable[[], None], Callable[[], None]]] = [
            ("leader", self.leadership.run, self.leadership.stop),
            ("emit", self.emitter.run, self.emitter.stop),
            ("levels", self.levels.run, self.levels.stop),
            *((job.name, job.run, job.stop) for job in periodic),
            ("feed", self.feed.run, self.feed.stop),
        ]
        for name, run, stop in jobs:
            thread = threading.Thread(target=self._guard, args=(name, run), name=name, daemon=True)
            self._threads.append(thread)
            self._stops.append(stop)
            thread.start()

    def _guard(self, name: str, run: Callable[[], None]) -> None:
        """Run a thread; its end while the listener runs is the listener's end: a supervisor starts it afresh."""
        finished = False
        try:
            run()
            finished = True
        finally:
            if not self._stopping.is_set():
                log.error("%s: the thread %s %s", self.role, name, "ended" if finished else "failed")
                self._broken.append(name)

    def _shut_down(self) -> None:
        """Stop the feed first and the leadership last, so that what was seen is still written under it."""
        self._stopping.set()
        if self.refiller is not None:
            self.refiller.stop(timeout=1.0)
        for thread, stop in reversed(list(zip(self._threads, self._stops, strict=True))):
            stop()
            thread.join(timeout=2.0)

    def _gap(self, symbol: str, first_id: int, last_id: int) -> None:
        if self.refiller is not None:
            self.refiller.request(symbol, first_id, last_id)

    def _silence(self) -> None:
        """Ask by REST for prices while the socket is silent: a stop must not wait for a reconnect."""
        if self.refiller is None or self.feed is None:
            return
        live = self.watcher.status.status is FeedStatus.LIVE
        self.refiller.poll(() if live else self.feed.products())

    def _pulse(self) -> None:
        now = datetime.now(UTC)
        facts = self.facts()
        pulses.beat(self.role, facts, started_at=self.started_at, now=now)
        if self.leadership.leads.is_set():
            feed_rows.write_status(f"{_FEED}:{self.shard}", self.watcher.status, facts, now=now)

    def _instruments(self) -> None:
        """Follow instruments that were added or enabled, without a restart."""
        wanted = {symbol: instrument_id for instrument_id, symbol, _ in watches.instruments(self.shard)}
        assert self.feed is not None
        fresh = [symbol for symbol in wanted if symbol not in self.feed.products()]
        for symbol in fresh:
            self.watcher.follow(symbol, wanted[symbol])
        if fresh:
            self.feed.add_products(fresh)
            self.levels.reload({wanted[symbol] for symbol in fresh})
        self.feed.remove_products(symbol for symbol in self.feed.products() if symbol not in wanted)
        connection.close_if_unusable_or_obsolete()


class _Rate:
    """Ticks per second since the last question."""

    def __init__(self) -> None:
        self._count = 0
        self._at = time.monotonic()

    def of(self, count: int) -> float:
        """Return the rate at which `count` rose since the last call."""
        now = time.monotonic()
        rate = (count - self._count) / max(now - self._at, 1e-3)
        self._count, self._at = count, now
        return round(rate, 1)
