"""How the listener learns of levels: all of them at a start, then a poll of the change table every 20 milliseconds."""

import logging
import threading
import time

from django.db import Error, connection

from apps.trading import watches
from workers.listener.emit import Emitter
from workers.listener.watch import Watcher

log = logging.getLogger(__name__)

_POLL = 0.02
_BATCH = 5000
_MISSING_FOR = 60.0  # seconds a missing number may still turn up: longer than any transaction lives


class Levels:
    """Follows the change table. Numbers become visible out of order, so missing ones are asked for again."""

    def __init__(self, shard: int, watcher: Watcher, emitter: Emitter) -> None:
        self.seen_at = 0.0  # monotonic, of the last successful poll
        self.shards = frozenset({shard})  # whose changes are taken in
        self._shard = shard
        self._watcher = watcher
        self._emitter = emitter
        self._last = 0
        self._missing: dict[int, float] = {}
        self._stopping = threading.Event()

    def start(self) -> int:
        """Load every live leg and return how many are watched; what changes meanwhile is read afterwards."""
        self._last, missing = watches.newest_change()
        self._missing = dict.fromkeys(missing, time.monotonic())
        count = self._watcher.load(watches.live(self._shard), watches.resting(self._shard))
        self.seen_at = time.monotonic()
        return count

    def run(self) -> None:
        """Follow the changes until stopped."""
        while not self._stopping.is_set():
            try:
                full = self.poll()
            except Error as error:
                log.warning("levels: the database did not answer: %s", str(error).strip())
                connection.close()
                full = False
                self._stopping.wait(0.2)
            if not full:
                self._stopping.wait(_POLL)
        connection.close()

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()

    def reload(self, instrument_ids: set[int]) -> None:
        """Load the live legs of instruments that were not followed before."""
        following = ((key, watch) for key, watch in watches.live(self._shard) if key in instrument_ids)
        resting = (group for group in watches.resting(self._shard) if group.instrument_id in instrument_ids)
        self._watcher.load(following, resting)

    def poll(self) -> bool:
        """Take in what changed; say whether there may be more."""
        now = time.monotonic()
        rows = watches.changed(self._last, list(self._missing), _BATCH)
        positions = {position_id for _, position_id, shard in rows if shard in self.shards}
        doubtful = self._emitter.take_doubtful()
        if doubtful:
            positions |= watches.positions_of(doubtful)
        if positions:
            legs = watches.legs_of(list(positions))
            self._emitter.forget(leg.watch.leg_id for leg in legs if not leg.live)
            self._watcher.change(legs)
        self._note([number for number, _, _ in rows], now)
        self.seen_at = now
        return len(rows) == _BATCH

    def _note(self, numbers: list[int], now: float) -> None:
        for number in numbers:
            self._missing.pop(number, None)
        newest = max(numbers, default=self._last)
        if newest > self._last:
            seen = set(numbers)
            holes = (number for number in range(self._last + 1, newest) if number not in seen)
            self._missing.update(dict.fromkeys(holes, now))
            self._last = newest
        if self._missing:
            self._missing = {number: at for number, at in self._missing.items() if now - at < _MISSING_FOR}
