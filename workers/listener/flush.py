"""What leaves the listener every quarter of a second: conflated quotes, watermarks, ticks for the store."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import Error, connection, transaction

from apps.domain.ticks import Tick
from apps.journal import leases
from apps.market import live
from apps.market.services import quotes
from apps.market.store import RefusedRows, Store, StoreUnavailable
from apps.market.store import ticks as store_ticks
from apps.trading.services import watermarks
from workers.listener.emit import Emitter
from workers.listener.leader import Leadership
from workers.listener.tape import Tape, from_ns, traded_at
from workers.listener.watch import Watcher

log = logging.getLogger(__name__)


class Periodic:
    """Runs one step again and again in a thread of its own until stopped; a step that fails is tried again."""

    def __init__(self, name: str, step: Callable[[], None], every: float) -> None:
        self.name = name
        self._step = step
        self._every = every
        self._stopping = threading.Event()

    def run(self) -> None:
        """Step until stopped, and once more at the end."""
        while not self._stopping.wait(self._every):
            self._once()
        self._once()
        connection.close()

    def stop(self) -> None:
        """Stop after the present step."""
        self._stopping.set()

    def _once(self) -> None:
        try:
            self._step()
        except Error as error:
            log.warning("%s: the database did not answer: %s", self.name, str(error).strip())
            connection.close()
        except (StoreUnavailable, live.Unreachable) as error:
            log.warning("%s: %s", self.name, error)


class QuoteFlusher:
    """Writes the latest quotes and watermarks in one transaction, under the leader's epoch.

    With a shard it writes of that shard's instruments only: one that was moved away is another listener's at once.
    """

    def __init__(self, watcher: Watcher, emitter: Emitter, leadership: Leadership, shard: int | None = None) -> None:
        self.fresh: list[dict[str, Any]] = []  # for the screens, taken by `Screens`
        self._watcher = watcher
        self._emitter = emitter
        self._leadership = leadership
        self._shard = shard
        self._written: dict[str, Tick] = {}
        self._epoch = 0
        self._peaks: dict[int, float] = {}
        self._rides: dict[int, int] = {}

    def step(self) -> None:
        """Write what changed since the last step; a standby only listens."""
        if not self._leadership.leads.is_set():
            return
        self._collect()
        news = [(tape, tick, self._written.get(tape.symbol)) for tape, tick in self._moved()]
        # A quote says up to which trade everything was looked at; it must not overtake the exits of those trades.
        if not self._emitter.settle(timeout=5.0):
            return
        epoch = self._leadership.epoch
        with transaction.atomic():
            if not leases.holds(self._leadership.role, epoch):
                self._leadership.lost()
                return
            rows = [_row(tape, tick, before) for tape, tick, before in news]
            # The quotes last: of an instrument that is moved this very moment, its next listener goes on from the
            # quote, so a quote that is written must find the best prices up to it written too.
            watermarks.write(self._peaks, self._rides, shard=self._shard)
            quotes.heard(self._heard({tape.instrument_id for tape, _, _ in news}), shard=self._shard)
            quotes.write(rows, epoch=epoch, shard=self._shard)
        self._epoch = epoch
        self._peaks, self._rides = {}, {}
        self._written.update({tape.symbol: tick for tape, tick, _ in news})
        self.fresh = [_screen(tape, tick) for tape, tick, _ in news]

    def _collect(self) -> None:
        peaks, rides = self._watcher.marks()
        self._rides = {leg: root for leg, root in self._rides.items() if leg not in peaks} | rides
        self._peaks = {leg: peak for leg, peak in (self._peaks | peaks).items() if leg not in self._rides}
        if self._epoch != self._leadership.epoch:
            self._peaks |= self._watcher.roots()

    def _moved(self) -> list[tuple[Tape, Tick]]:
        return [
            (tape, tick)
            for tape in list(self._watcher.tapes.values())
            if (tick := tape.looked_at) is not None and tick is not self._written.get(tape.symbol)
        ]

    def _heard(self, but: set[int]) -> dict[int, datetime]:
        return {
            tape.instrument_id: from_ns(tape.heard_ns)
            for tape in list(self._watcher.tapes.values())
            if tape.heard_ns and tape.instrument_id not in but
        }


class Screens:
    """Tells the screens; Redis may be away, then they ask the database themselves."""

    def __init__(self, flusher: QuoteFlusher) -> None:
        self._flusher = flusher
        self._client = live.connect()

    def step(self) -> None:
        """Publish the quotes written since the last step."""
        fresh, self._flusher.fresh = self._flusher.fresh, []
        if fresh:
            live.publish_quotes(self._client, fresh)


class Recorder:
    """Stores every accepted tick of the leader; what does not fit the ring between two steps is counted as lost."""

    def __init__(self, watcher: Watcher, leadership: Leadership, store: Store) -> None:
        self.stored = 0
        self.dropped = 0
        self._watcher = watcher
        self._leadership = leadership
        self._store = store
        self._seen: dict[str, Tick] = {}

    def step(self) -> None:
        """Store the ticks since the last step in one write.

        A standby stores nothing; when it takes over, all its ring still has goes in, and what is there already stays.
        """
        if not self._leadership.leads.is_set():
            self._seen.clear()
            self._watcher.given_up.clear()
            return
        given_up = list(self._watcher.given_up)
        batches = [(tape, self._fresh(tape)) for tape in [*given_up, *self._watcher.tapes.values()]]
        self._write(batches)
        self._seen.update({tape.symbol: fresh[-1] for tape, fresh in batches if fresh})
        for tape in given_up:
            self._watcher.given_up.remove(tape)

    def _fresh(self, tape: Tape) -> list[Tick]:
        before = self._seen.get(tape.symbol)
        fresh = tape.newer_than(before)
        if before is not None and len(fresh) == tape.ring.maxlen and tape.numbered:
            self.dropped += max(fresh[0].trade_id - before.trade_id - 1, 0)
        return fresh

    def _write(self, batches: list[tuple[Tape, list[Tick]]]) -> None:
        late = [(tape, [tape.refilled.popleft() for _ in range(len(tape.refilled))]) for tape, _ in batches]
        rows = [store_ticks.from_tick(tape.instrument_id, tick) for tape, some in [*late, *batches] for tick in some]
        if not rows:
            return
        try:
            self.stored += store_ticks.write(self._store, rows)
        except RefusedRows as error:
            self.dropped += len(rows)
            log.warning("%d ticks were not stored: %s", len(rows), error)
        except StoreUnavailable:
            for tape, some in late:
                tape.refilled.extend(some)
            raise
        for tape, fresh in batches:
            if fresh:
                _measure_skew(tape, fresh[-1])


def _measure_skew(tape: Tape, tick: Tick) -> None:
    if tick.venue_time and not tick.snapshot and not tick.refilled:
        seen = from_ns(tick.received_ns) - datetime.fromisoformat(tick.venue_time)
        tape.skew = min(seen, tape.skew) if tape.skew else seen


def _row(tape: Tape, tick: Tick, before: Tick | None) -> quotes.QuoteRow:
    prices = [item.price for item in tape.newer_than(before)] or [tick.price]
    return quotes.QuoteRow(
        instrument_id=tape.instrument_id,
        price=tick.text,
        bid=tick.bid or None,
        ask=tick.ask or None,
        low=min(prices),
        high=max(prices),
        trade_id=tape.complete_through(tick),
        at=traded_at(tick),
        received_at=from_ns(tick.received_ns),
        heard_at=from_ns(max(tape.heard_ns, tick.received_ns)),
        feed=tape.source,
    )


def _screen(tape: Tape, tick: Tick) -> dict[str, Any]:
    return {
        "instrument": tape.symbol,
        "price": tick.text,
        "bid": tick.bid or None,
        "ask": tick.ask or None,
        "at": tick.venue_time or from_ns(tick.received_ns).isoformat(),
        "trade_id": tick.trade_id,
    }
