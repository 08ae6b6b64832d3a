"""The second look as a process: every second, without Celery and without Redis, whatever was left undone is done."""

import logging
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import Error, connection

from apps.journal import leases, pulses
from apps.trading import books, sweeping
from apps.trading.services import exits
from apps.trading.services.exits import Crossing, Fence
from workers.order_sweep import OrderSweep
from workers.risk_sweep import RiskSweep

log = logging.getLogger(__name__)

ROLE = "sweeper"
_HUNG_AFTER = timedelta(seconds=5)
_PATIENCE = 0.25  # seconds an exit may wait for a worker before it is done here
_COMPLAIN_AFTER = timedelta(seconds=5)
_TRAILED_EVERY = 5  # rounds
_CARRY_EVERY = 60


class Sweeper:
    """Executes exits nobody executed, finds those nobody wrote, writes time stops that are due, sees to orders."""

    def __init__(self, every: float = 1.0) -> None:
        self.started_at = datetime.now(UTC)
        self._every = every
        self._stopping = threading.Event()
        self._epoch: int | None = None
        self._round = 0
        self._suspects: dict[int, Crossing] = {}
        self._orders = OrderSweep(f"{settings.HOST_NAME}:{os.getpid()}", lambda: self._epoch is not None)
        self._risk = RiskSweep(lambda: self._epoch is not None)
        self._facts: dict[str, Any] = {"executed": 0, "found": 0, "time_stops": 0, "waiting": 0, "leads": False}

    def run(self) -> None:
        """Sweep until stopped."""
        self._orders.start()
        self._risk.start()
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self.sweep()
            except (Error, exits.Fenced) as error:
                log.warning("the sweep was cut short: %s", str(error).strip())
                self._epoch = None
                connection.close()
            self._stopping.wait(max(self._every - (time.monotonic() - began), 0.05))
        self._orders.stop()
        self._risk.stop()
        connection.close()

    def stop(self) -> None:
        """Stop after the present sweep."""
        self._stopping.set()

    def sweep(self) -> None:
        """Look once at everything; a standby only tries to lead."""
        self._orders.mind()
        self._risk.mind()
        self._lead()
        if self._epoch is not None:
            self._round += 1
            fence = Fence(ROLE, self._epoch)
            due = sweeping.time_stops(epoch=self._epoch)
            self._facts["time_stops"] += due
            found = self._find(fence)
            self._execute(patience=0.0 if due or found else _PATIENCE)
            sweeping.complain(_COMPLAIN_AFTER)
            if self._round % _CARRY_EVERY == 0:
                books.carry_forward()
        self._facts |= {"orders": self._orders.taken, "risk_looks": self._risk.looks}
        self._facts |= {"leads": self._epoch is not None, "epoch": self._epoch or 0, "rounds": self._round}
        pulses.beat(ROLE, self._facts, started_at=self.started_at, now=datetime.now(UTC))

    def _lead(self) -> None:
        if self._epoch is not None and not leases.renew(ROLE, self._epoch):
            self._epoch = None
            connection.close()
        if self._epoch is None:
            self._epoch = leases.acquire(ROLE, hung_after=_HUNG_AFTER)
            self._suspects = {}

    def _find(self, fence: Fence) -> int:
        """Write exits for what was beyond its level in two looks running: the first chance is the listener's."""
        seen = sweeping.beyond()
        if self._round % _TRAILED_EVERY in {0, 1}:
            seen |= sweeping.trailed()
        certain = [crossing for leg_id, crossing in seen.items() if leg_id in self._suspects]
        self._suspects = seen
        if not certain:
            return 0
        found = sweeping.record(certain, fence=fence)
        self._facts["found"] += found
        log.warning("%d exits were missing and have been written", found)
        return found

    def _execute(self, *, patience: float) -> None:
        count, oldest = sweeping.waiting()
        while count and oldest > patience and not self._stopping.is_set():
            drained = exits.drain(worker=f"{settings.HOST_NAME}:{os.getpid()}", limit=settings.EXIT_BATCH)
            self._facts["executed"] += drained.done
            if not drained.more:
                break
        self._facts["waiting"] = count
