"""The listener as a process: threads around the receive thread, and an end as soon as one of them is not well."""

import contextlib
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.conf import settings

from apps.journal import pulses
from apps.market import store
from apps.market.services import feeds as feed_rows
from apps.market.services import gaps
from apps.trading import watches
from workers.listener.emit import Emitter
from workers.listener.flush import Periodic, QuoteFlusher, Recorder, Screens
from workers.listener.handover import Handover
from workers.listener.leader import Leadership
from workers.listener.levels import Levels
from workers.listener.sources import Source, Sources
from workers.listener.watch import Watcher

log = logging.getLogger(__name__)


class Listener:
    """One listener of a shard: it evaluates always, and writes while it leads."""

    def __init__(self, shard: int, ring: Callable[[], None], ring_ahead: Callable[[], None] | None = None) -> None:
        self.shard = shard
        self.role = f"listener:{shard}"
        self.started_at = datetime.now(UTC)
        self.leadership = Leadership(self.role)
        self.emitter = Emitter(self.leadership, ring, ring_ahead)
        self.watcher = Watcher(self.emitter.put)
        self.sources = Sources(self.watcher, self._start_source)
        self.levels = Levels(shard, self.watcher, self.emitter)
        self.flusher = QuoteFlusher(self.watcher, self.emitter, self.leadership, shard)
        self.recorder = Recorder(self.watcher, self.leadership, store.connect(settings.MARKET_DATABASE_URL))
        self.handover = Handover(shard, self.watcher)
        self._loaded: set[int] = set()  # the instruments whose levels were read
        self._threads: list[threading.Thread] = []
        self._stops: list[Callable[[], None]] = []
        self._broken: list[str] = []
        self._stopping = threading.Event()
        self._rate = _Rate()

    def run(self) -> int:
        """Listen until stopped; return the exit status: 0 when asked to stop, 1 when something inside ended."""
        rows = self.handover.with_leaving(watches.instruments(self.shard))
        for row in rows:
            self.watcher.follow(row.symbol, row.instrument_id)
        with _nothing_collected():
            watched = self.levels.start()
        self._loaded = {row.instrument_id for row in rows}
        log.info("%s watches %d legs of %d instruments", self.role, watched, len(rows))
        self._start_threads()
        self.sources.follow(rows)
        while not self._stopping.wait(0.1):
            if self.leadership.usurped.is_set():
                log.warning("%s: another listener led meanwhile; ending, to start again from the database", self.role)
                self._broken.append("leadership")
            for name in self.sources.dead_refillers():
                log.error("%s: the refiller of %s died", self.role, name)
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
            "blind_seconds": round(self.watcher.blind_seconds, 1),
            **self.sources.facts(),
            "level_age_ms": round((time.monotonic() - self.levels.seen_at) * 1000),
        }

    def _start_threads(self) -> None:
        periodic = [
            Periodic("quotes", self.flusher.step, 0.25),
            Periodic("screens", Screens(self.flusher).step, 0.25),
            Periodic("pulse", self._pulse, 1.0),
            Periodic("instruments", self._instruments, 1.0),
            Periodic("silence", self._silence, 1.0),
            Periodic("switch", self._switch, 0.5),
        ]
        if settings.RECORD_TICKS:
            periodic.append(Periodic("ticks", self.recorder.step, 0.5))
        jobs: list[tuple[str, Callable[[], None], Callable[[], None]]] = [
            ("leader", self.leadership.run, self.leadership.stop),
            ("emit", self.emitter.run, self.emitter.stop),
            ("levels", self.levels.run, self.levels.stop),
            *((job.name, job.run, job.stop) for job in periodic),
        ]
        for name, run, stop in jobs:
            self._start(name, run, stop)

    def _start_source(self, source: Source) -> None:
        run = partial(self._run_as_leader, source) if source.is_exclusive else source.run
        self._start(f"feed {source.name}", run, source.stop)

    def _run_as_leader(self, source: Source) -> None:
        while not self._stopping.is_set():
            if self.leadership.leads.wait(0.5):
                source.run()
                return

    def _start(self, name: str, run: Callable[[], None], stop: Callable[[], None]) -> None:
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
        """Stop the feeds first and the leadership last, so that what was seen is still written under it."""
        self._stopping.set()
        self.sources.stop()
        for thread, stop in reversed(list(zip(self._threads, self._stops, strict=True))):
            stop()
            thread.join(timeout=2.0)

    def _silence(self) -> None:
        for source in list(self.sources.by_name.values()):
            source.mind_silence()

    def _switch(self) -> None:
        """Let instruments count on the source that lives; the leader writes that down, and what nobody can tell."""
        for switched in self.sources.judge(datetime.now(UTC)):
            if self.leadership.leads.is_set():
                feed_rows.record_switch(switched)
        for source in list(self.sources.by_name.values()):
            while source.unknown and self.leadership.leads.is_set():
                instrument_id, since, until, why = source.unknown[0]
                gaps.note(instrument_id, since, until, why, datetime.now(UTC))
                source.unknown.popleft()

    def _pulse(self) -> None:
        now = datetime.now(UTC)
        facts = self.facts()
        pulses.beat(self.role, facts, started_at=self.started_at, now=now)
        if self.leadership.leads.is_set():
            for name, source in list(self.sources.by_name.items()):
                feed_rows.write_status(f"{name}:{self.shard}", source.status, facts, now=now)

    def _instruments(self) -> None:
        """Follow instruments that were added, enabled or moved here, without a restart: their levels before prices.

        Those that were moved away are let go of when their new listener has begun to compare.
        """
        rows = self.handover.with_leaving(watches.instruments(self.shard))
        self.levels.shards = self.handover.shards
        for row in rows:
            self.watcher.follow(row.symbol, row.instrument_id)
        wanted = {row.instrument_id for row in rows}
        if fresh := wanted - self._loaded:
            self.levels.reload(fresh)
        self._loaded = wanted
        self.sources.follow(rows)


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """Load without looking for garbage, and never look through what was loaded.

    Millions of levels hold no cycles; looking for some would cost seconds now and stop the receive thread later.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


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
