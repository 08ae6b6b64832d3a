"""One server that is not a child of ours (an embedded one), revived when its process is gone."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from apps.ops.supervisor.children import Pauses, Snapshot, State

LOOK_SECONDS = 0.25


class Watch:
    """One server that is not a child of ours, revived when its process is gone."""

    def __init__(self, name: str, pid: Callable[[], int | None], revive: Callable[[], object], pauses: Pauses) -> None:
        self._name = name
        self._pid = pid
        self._revive = revive
        self._pauses = pauses
        self._now_pid = pid()
        self._since = time.monotonic()
        self._due = 0.0
        self._lived = 0.0
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"revive-{name}")
        self._work: Future[object] | None = None
        self._restarts = 0
        self._last_exit = ""

    def tick(self, now: float) -> None:
        """Look whether the server runs, or whether its revival is done."""
        if self._work is not None:
            if self._work.done():
                self._settle(self._work.exception(), now)
            return
        if now < self._due:
            return
        self._due = now + LOOK_SECONDS
        found = self._pid()
        if found is None:
            if self._now_pid is not None:
                self._last_exit = f"pid {self._now_pid} is gone"
                self._lived, self._now_pid = now - self._since, None
            self._work = self._pool.submit(self._revive)
        elif found != self._now_pid:
            self._now_pid, self._since = found, now

    def snapshot(self, now: float) -> Snapshot:
        """Return the server as it was at the last look."""
        return Snapshot(
            name=self._name,
            state=State.RUNNING if self._now_pid else State.WAITING,
            pid=self._now_pid,
            uptime=now - self._since if self._now_pid else 0.0,
            restarts=self._restarts,
            last_exit=self._last_exit,
        )

    def close(self) -> None:
        """Start no further revival; one under way ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _settle(self, error: BaseException | None, now: float) -> None:
        self._work = None
        if error is not None:
            self._last_exit = str(error) or type(error).__name__
            self._due = now + self._pauses.after(0.0)
            return
        self._restarts += 1
        self._now_pid, self._since = self._pid(), now
        self._due = now + self._pauses.after(self._lived)  # the next look; the first revival never waits
