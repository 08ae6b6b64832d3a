"""Crossings on their way out: durable in the table first, then one ring of the bell.

A ring ahead goes out while the rows are being written, so that a worker is on its way when they are there. That loses
nothing: a worker answers the bell before it looks, so if it came too early, the ring after the rows is a new one.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from django.db import Error, connection

from apps.trading.services import exits
from apps.trading.services.exits import Crossing
from workers.listener.leader import Leadership

log = logging.getLogger(__name__)

_RETRY = 0.05  # seconds after a database error


class _Ringer:
    """Rings from a thread of its own: Redis may be slow or away, and no crossing may wait for it."""

    def __init__(self, ring: Callable[[], None], ring_ahead: Callable[[], None]) -> None:
        self._ring = ring
        self._ring_ahead = ring_ahead
        self._written = threading.Event()
        self._wanted = threading.Event()
        self._stopping = threading.Event()

    def ring_ahead(self) -> None:
        """Have it rung for rows that are being written."""
        self._wanted.set()

    def ring(self) -> None:
        """Have it rung soon for rows that are there; wishes made meanwhile become one."""
        self._written.set()
        self._wanted.set()

    def run(self) -> None:
        """Ring as wished, until stopped."""
        while not self._stopping.is_set():
            self._wanted.wait()
            self._wanted.clear()
            if self._written.is_set():
                self._written.clear()
                self._ring()
            else:
                self._ring_ahead()

    def stop(self) -> None:
        """Ring a last time and stop; a ring too many does no harm."""
        self._stopping.set()
        self.ring()


class Emitter:
    """Keeps crossings until they are rows. A standby keeps them too, and writes them when it takes over."""

    def __init__(
        self, leadership: Leadership, ring: Callable[[], None], ring_ahead: Callable[[], None] | None = None
    ) -> None:
        self.written = 0
        self._leadership = leadership
        self._ringer = _Ringer(ring, ring_ahead or ring)
        self._pending: dict[int, Crossing] = {}
        self._doubtful: set[int] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._taken = 0  # how many times crossings were taken ...
        self._through = 0  # ... and how many of those times are written
        self._written_some = threading.Condition(self._lock)
        self._stopping = threading.Event()

    def __len__(self) -> int:
        return len(self._pending)

    def put(self, crossings: Sequence[Crossing]) -> None:
        """Take crossings from any thread; the first of a leg counts."""
        with self._lock:
            for crossing in crossings:
                self._pending.setdefault(crossing.leg_id, crossing)
            self._taken += 1
        self._wake.set()

    def forget(self, leg_ids: Iterable[int]) -> None:
        """Drop crossings of legs that are done with."""
        with self._written_some:
            for leg_id in leg_ids:
                self._pending.pop(leg_id, None)
            self._written_some.notify_all()

    def take_doubtful(self) -> set[int]:
        """Return and forget the legs whose crossing was not written: they are to be read again."""
        if not self._doubtful:
            return set()
        with self._lock:
            doubtful, self._doubtful = self._doubtful, set()
        return doubtful

    def settle(self, timeout: float) -> bool:
        """Wait until everything taken so far is written; a quote must not claim a trade whose exits could be lost."""
        with self._written_some:
            mark = self._taken
            return self._written_some.wait_for(lambda: self._through >= mark or not self._pending, timeout)

    def run(self) -> None:
        """Write crossings as they come, until stopped."""
        ringer = threading.Thread(target=self._ringer.run, name="bell", daemon=True)
        ringer.start()
        while not self._stopping.is_set():
            self._wake.wait(0.1)
            self._wake.clear()
            if self._pending and self._leadership.leads.is_set():
                self._flush()
        self._ringer.stop()
        ringer.join(timeout=2.0)
        connection.close()

    def stop(self) -> None:
        """Stop after what is being written."""
        self._stopping.set()
        self._wake.set()

    def _flush(self) -> None:
        with self._lock:
            batch, mark = list(self._pending.values()), self._taken
        self._ringer.ring_ahead()
        try:
            written = exits.record_crossings(batch, fence=self._leadership.fence, source="listener")
        except exits.Fenced as error:
            log.warning("crossings kept: %s", error)
            self._leadership.lost()
            return
        except Error as error:
            log.warning("crossings kept, the database did not take them: %s", str(error).strip())
            connection.close()
            time.sleep(_RETRY)
            self._wake.set()
            return
        if written:
            self._ringer.ring()
        self._done(batch, written, mark)

    def _done(self, batch: Sequence[Crossing], written: set[int], mark: int) -> None:
        self.written += len(written)
        with self._lock:
            for crossing in batch:
                if self._pending.get(crossing.leg_id) is crossing:
                    del self._pending[crossing.leg_id]
                if crossing.leg_id not in written:
                    self._doubtful.add(crossing.leg_id)
            self._through = mark
            self._written_some.notify_all()
