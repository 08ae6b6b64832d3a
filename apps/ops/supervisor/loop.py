"""Keeps the processes of the site running: starts, watches, restarts and stops them, one short `tick` at a time.

Nothing here blocks except `stop`, so a status screen can share the loop. Each child has a session and a log file of its
own. What dies is started again after a pause that doubles; nothing is started again once the stop has begun.
"""

import random
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from apps.ops.supervisor.children import Child, Pauses, Run, Snapshot, State, rotate
from apps.ops.supervisor.warden import Warden
from apps.ops.supervisor.watches import Watch

TOTAL_STOP_SECONDS = 10.0
STAGE_RESERVE = 0.4  # kept back of the total for each stage that has not begun to stop


class Supervisor:
    """A set of children and watched servers, driven by `tick` every 50 to 100 ms."""

    def __init__(
        self, logs: Path, *, stop_seconds: float = TOTAL_STOP_SECONDS, chance: random.Random | None = None
    ) -> None:
        self._logs = logs
        self._stop_seconds = stop_seconds
        self._chance = chance or random.SystemRandom()
        self._runs: list[Run] = []
        self._watches: list[Watch] = []
        self._stop_deadline: float | None = None
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._warden = Warden()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for watch in self._watches:
            watch.close()
        self._warden.close()

    @property
    def warden_pid(self) -> int:
        """The pid of the process that ends the children should the supervisor be killed."""
        return self._warden.pid

    @property
    def stopped(self) -> bool:
        """True once a stop has begun and every child is gone."""
        return self._stop_deadline is not None and all(run.process is None for run in self._runs)

    def start(self, *children: Child) -> None:
        """Start children now, in their order; may be called again to start more."""
        for child in sorted(children, key=lambda child: child.order):
            run = Run(child, self._logs / f"{child.name}.log", Pauses(self._chance))
            self._runs.append(run)
            rotate(run.log)
            run.spawn(self._warden)

    def watch(self, name: str, *, pid: Callable[[], int | None], revive: Callable[[], object]) -> None:
        """Call `revive` (in a thread, as it may take seconds) whenever `pid` says that a server is gone."""
        self._watches.append(Watch(name, pid, revive, Pauses(self._chance)))

    def tick(self) -> None:
        """Notice deaths, restart what is due, revive watched servers, go on with a stop; returns at once."""
        now = time.monotonic()
        self._warden.keep()
        for run in self._runs:
            run.notice_end(self._warden, now)
        if self._stop_deadline is not None:
            self._stop_step(now, self._stop_deadline)
            return
        for run in self._runs:
            run.restart_when_due(self._warden, now)
            run.mind_log(now)
        for watch in self._watches:
            watch.tick(now)

    def begin_stop(self) -> None:
        """Begin to stop everything, highest order first; `tick` goes on with it until `stopped`."""
        if self._stop_deadline is None:
            self._stop_deadline = time.monotonic() + self._stop_seconds
            for run in self._runs:
                run.state = State.STOPPING if run.process else State.STOPPED

    def stop(self) -> None:
        """Stop everything and wait for it: no longer than the total, then SIGKILL."""
        self.begin_stop()
        while not self.stopped:
            self.tick()
            time.sleep(0.02)

    def snapshot(self) -> tuple[Snapshot, ...]:
        """Return every watched server and child as it is now, in the order they were added."""
        now = time.monotonic()
        return (*(watch.snapshot(now) for watch in self._watches), *(run.snapshot(now) for run in self._runs))

    def _stop_step(self, now: float, deadline: float) -> None:
        orders = sorted({run.child.order for run in self._runs if run.process}, reverse=True)
        if orders:
            limit = deadline - STAGE_RESERVE * (len(orders) - 1)
            for run in self._runs:
                if run.process and run.child.order == orders[0]:
                    run.press_to_stop(now, limit)
