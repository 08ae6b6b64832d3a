"""The heart of the listener: every tick is compared with the nearest levels, every crossing handed on at once."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from apps.domain.book import Book, Fired, Watch
from apps.domain.ticks import Tick
from apps.trading.services.exits import Crossing
from apps.trading.watches import Changed, Resting
from workers.listener.tape import Tape, from_ns


class Watcher:
    """Keeps the tapes of a shard, compares ticks with levels and hands crossings to `emit`.

    `tick` runs in the receive thread and takes no lock unless a level is crossed, woken or trailed. Levels change
    under the lock from other threads; a level that arrives is compared with the ticks since it was made.
    """

    def __init__(self, emit: Callable[[Sequence[Crossing]], None]) -> None:
        self.tapes: dict[str, Tape] = {}
        self.by_id: dict[int, Tape] = {}
        self.given_up: deque[Tape] = deque(maxlen=100)  # their last ticks may not be stored yet
        self.ticks = 0
        self.lost_trades = 0
        self.blind_seconds = 0.0
        self._emit = emit
        self._lock = threading.Lock()

    # -- from the feed -----------------------------------------------------------------------------------------------

    def tick(self, tick: Tick) -> None:
        """Compare one accepted print with the levels of its instrument."""
        self.take(self.tapes[tick.symbol], tick)

    def take(self, tape: Tape, tick: Tick) -> None:
        """Compare one accepted print with the levels of a tape: the hot path, in a receive thread."""
        tape.ring.append(tick)
        self.ticks += 1
        book = tape.book
        if not book.low < tick.price < book.high and not tick.snapshot:
            self._cross(tape, tick)
        tape.looked_at = tick

    def blind(self, symbol: str, since_ns: int, until_ns: int) -> None:
        """Count time in which trades may have been missed that nobody can give us any more."""
        del symbol
        self.blind_seconds += (until_ns - since_ns) / 1e9

    # -- from the refiller -------------------------------------------------------------------------------------------

    def take_late(self, tape: Tape, ticks: Sequence[Tick]) -> None:
        """Compare late trades, oldest first, with the levels; then the newest price again, for what they moved."""
        for tick in ticks:
            last = tape.last()
            if last is None or tape.is_newer(tick, last):
                self.take(tape, tick)
            else:
                tape.late.append(tick)
                tape.refilled.append(tick)
                self._cross(tape, tick)
        last = tape.last()
        if last is not None and not last.snapshot:
            self._cross(tape, last)

    def uncovered(self, symbol: str, first_id: int, last_id: int, reason: str) -> None:
        """Count trades that the venue will not give us any more."""
        del symbol, reason
        self.lost_trades += last_id - first_id + 1

    # -- from the level threads --------------------------------------------------------------------------------------

    def follow(self, symbol: str, instrument_id: int) -> Tape:
        """Keep a tape for an instrument."""
        tape = self.tapes.get(symbol) or Tape(symbol, instrument_id)
        self.by_id[instrument_id] = tape
        self.tapes[symbol] = tape
        return tape

    def keep_only(self, symbols: set[str]) -> None:
        """Forget the tapes of other instruments: should one come back, its levels are read anew."""
        for tape in [tape for tape in self.tapes.values() if tape.symbol not in symbols]:
            self.tapes = {symbol: kept for symbol, kept in self.tapes.items() if kept is not tape}
            self.by_id = {key: kept for key, kept in self.by_id.items() if kept is not tape}
            self.given_up.append(tape)

    def load(self, watches: Iterable[tuple[int, Watch]], resting: Iterable[Resting] = ()) -> int:
        """Fill the books at a start; return how many legs are watched."""
        for group in resting:
            if group.instrument_id in self.by_id:
                with self._lock:
                    self.by_id[group.instrument_id].book.load_levels(group.rises, group.levels)
        following: dict[int, list[Watch]] = {}
        for instrument_id, watch in watches:
            following.setdefault(instrument_id, []).append(watch)
        with self._lock:
            for instrument_id, legs in following.items():
                if instrument_id in self.by_id:
                    self.by_id[instrument_id].book.load(legs)
        return sum(len(tape.book) for tape in self.by_id.values())

    def change(self, legs: Iterable[Changed]) -> None:
        """Take in legs that changed: watch those that are live, forget the others."""
        for leg in legs:
            tape = self.by_id.get(leg.instrument_id)
            if tape is None:
                continue
            if leg.live:
                self._arrive(tape, leg)
            else:
                with self._lock:
                    tape.book.discard(leg.watch.leg_id)

    def marks(self) -> tuple[dict[int, float], dict[int, int]]:
        """Return and forget the watermarks that moved: peaks by root leg, and who rides with whom."""
        peaks: dict[int, float] = {}
        rides: dict[int, int] = {}
        with self._lock:
            for tape in self.tapes.values():
                moved, merged = tape.book.collect()
                peaks |= moved
                rides |= merged
        return peaks, rides

    def roots(self) -> dict[int, float]:
        """Return every peak by its root leg: what a new leader writes before it goes on."""
        with self._lock:
            return {leg: peak for tape in self.tapes.values() for leg, peak in tape.book.peaks().items()}

    def _cross(self, tape: Tape, tick: Tick) -> None:
        with self._lock:
            fired = tape.book.cross(tick.price, marks=not tick.off_market)
        if fired:
            self._emit(crossings(tape, tick, fired))

    def _arrive(self, tape: Tape, leg: Changed) -> None:
        found: Sequence[Crossing] = ()
        with self._lock:
            if leg.watch.leg_id in tape.book:
                return
            watch, found, seen = _replay(tape, leg)
            if not found:
                tape.book.add(watch, moved=watch.peak != leg.watch.peak)
                for tick in tape.newer_than(seen):
                    if not tick.snapshot:
                        fired = tape.book.cross(tick.price, marks=not tick.off_market)
                        found = [*found, *crossings(tape, tick, fired)]
        if found:
            self._emit(found)


def crossings(tape: Tape, tick: Tick, fired: Iterable[Fired]) -> list[Crossing]:
    """Write down which legs a tick triggered, with everything a locked row needs to decide again."""
    tick_at, seen_at, counts_at = from_ns(tick.received_ns), from_ns(time.time_ns()), tape.market_time(tick)
    return [
        Crossing(
            leg_id=hit.leg_id,
            price=tick.text,
            peak=None if hit.peak is None else repr(hit.peak),
            trade_id=tick.trade_id,
            venue_at=tick.venue_time or None,
            counts_at=counts_at,
            tick_at=tick_at,
            seen_at=seen_at,
        )
        for hit in fired
    ]


def _replay(tape: Tape, leg: Changed) -> tuple[Watch, list[Crossing], Tick | None]:
    """Compare one leg with the ticks since it was made; return it as it is now, its crossing, the last tick seen."""
    book, last = Book(), tape.last()
    book.add(leg.watch)
    for tick in _until(tape.since(leg.since), last):
        if not tick.snapshot and not book.low < tick.price < book.high:
            fired = book.cross(tick.price, marks=not tick.off_market)
            if fired:
                return leg.watch, crossings(tape, tick, fired), last
    peak = next(iter(book.collect()[0].values()), leg.watch.peak)
    return leg.watch._replace(peak=peak), [], last


def _until(ticks: Iterable[Tick], last: Tick | None) -> Iterable[Tick]:
    for tick in ticks:
        yield tick
        if tick is last:
            return
