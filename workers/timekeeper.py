"""Which beat leads, and what the leader does for jobs of the calendar: a thread beside Celery's own clock.

One thread holds the lease and writes the slots, so that a beat that hangs stops leading by itself.
"""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import Error, connection

from apps.journal import leases, pulses
from apps.ops.jobs import tending, ticking
from workers import job_calls

log = logging.getLogger(__name__)

ROLE: Final = ticking.ROLE
HUNG_AFTER: Final = timedelta(seconds=3)  # without a sign from the leader, the next one takes over
_PULSE_EVERY: Final = 8  # rounds
_REVIVE_EVERY: Final = 4


class Timekeeper:
    """Tries to lead, and while it leads turns slots into rows and calls workers to them."""

    def __init__(self, every: float = 0.25) -> None:
        self._every = every  # seconds between two rounds
        self.epoch: int | None = None  # while it leads; read by the thread that rings
        self._started_at = _now()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="timekeeper", daemon=True)
        self._round = 0
        self._facts: dict[str, Any] = {"made": 0, "skipped": 0, "called": 0, "revived": 0}

    @property
    def started(self) -> bool:
        """Say whether its thread was started."""
        return self._thread.ident is not None

    @property
    def failed(self) -> bool:
        """Say whether its thread has ended by a bug: it must not look as if it led."""
        return self.started and not self._thread.is_alive() and not self._stopping.is_set()

    def start(self) -> None:
        """Begin to try to lead."""
        self._thread.start()

    def stop(self, timeout: float = 2.0) -> None:
        """Stop leading, so that a standby follows at once; waits `timeout` seconds at most."""
        self._stopping.set()
        if self.started:
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._survive(self._step)
                self._stopping.wait(self._every)
        finally:
            self.epoch = None
            connection.close()  # ends the session, and with it the lock

    def _survive(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (Error, ticking.Deposed) as error:
            log.warning("the timetable waits: %s", str(error).strip())
            self.epoch = None
            connection.close()

    def _step(self) -> None:
        self._round += 1
        self._lead()
        if self.epoch is not None:
            self._work(self.epoch, _now())
        if self._round % _PULSE_EVERY == 1:
            facts = {**self._facts, "leads": self.epoch is not None, "epoch": self.epoch or 0}
            pulses.beat(ROLE, facts, started_at=self._started_at, now=_now())

    def _lead(self) -> None:
        if self.epoch is not None and not leases.renew(ROLE, self.epoch):
            self.epoch = None
            connection.close()
        if self.epoch is None:
            self.epoch = leases.acquire(ROLE, hung_after=HUNG_AFTER)

    def _work(self, epoch: int, now: datetime) -> None:
        ticked = ticking.tick(now, epoch=epoch)
        self._facts["made"] += ticked.made
        self._facts["skipped"] += ticked.skipped
        if self._round % _REVIVE_EVERY == 0:
            self._facts["revived"] += tending.revive(now)
        calls = tending.to_call(now)
        if calls and job_calls.call(calls):
            tending.called([call.run_id for call in calls], now)
            self._facts["called"] += len(calls)


def _now() -> datetime:
    return datetime.now(UTC)
