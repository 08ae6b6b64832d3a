"""One child process: its specification, its life, its log, and what is seen of it from outside."""

import contextlib
import enum
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from apps.ops.supervisor.warden import Warden

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
HEALTHY_SECONDS = 30.0
LOG_BYTES, LOG_GENERATIONS = 5_000_000, 3
LOG_LOOK_SECONDS = 10.0


class State(enum.StrEnum):
    """What a child is doing."""

    RUNNING = "running"
    WAITING = "waiting"  # dead, to be started again after a pause
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A process to keep running. Higher `order` starts later, stops earlier; `grace` is the seconds before SIGKILL."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 5.0
    order: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One child at one moment; `uptime` in seconds, `last_exit` how and why it ended last ("" when it never did)."""

    name: str
    state: State
    pid: int | None
    uptime: float
    restarts: int
    last_exit: str


class Pauses:
    """How long to wait before the next start: doubles from 0.2 to 10 seconds, with jitter, until a run was healthy."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._failures = 0

    def after(self, uptime: float) -> float:
        """Return the pause in seconds after a run that lasted `uptime` seconds."""
        if uptime >= HEALTHY_SECONDS:
            self._failures = 0
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return pause * self._chance.uniform(0.8, 1.0)


class Run:
    """One child with its process, its log and its history."""

    def __init__(self, child: Child, log: Path, pauses: Pauses) -> None:
        self.child = child
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.state = State.WAITING
        self._pauses = pauses
        self._since = 0.0
        self._due = 0.0
        self._kill_at: float | None = None
        self._log_start = 0
        self._log_look = 0.0
        self._restarts = 0
        self._last_exit = ""

    def spawn(self, warden: Warden) -> None:
        """Start the process in a session of its own, its output appended to its log."""
        self._since = time.monotonic()
        try:
            self.process = self._open(warden)
        except OSError as error:  # out of processes or memory: a reason to try again, not to take all others down
            self._last_exit = f"cannot be started: {error}"
            self._due = self._since + self._pauses.after(0.0)
            return
        warden.expect(self.process.pid, self.child.stop_signal)
        self.state = State.RUNNING

    def notice_end(self, warden: Warden, now: float) -> None:
        """When the process has ended, end what is left of its group and decide when to start it again."""
        if self.process is None or not _has_ended(self.process):
            return
        _kill_group(self.process.pid)  # before its number is free for others
        warden.forget(self.process.pid)
        status = self.process.wait()
        self._last_exit = ": ".join(part for part in (_how(status), self._last_line()) if part)
        self.process = None
        if self.state is State.STOPPING:
            self.state = State.STOPPED
        else:
            self.state = State.WAITING
            self._due = now + self._pauses.after(now - self._since)
        self._since = now

    def restart_when_due(self, warden: Warden, now: float) -> None:
        """Start the process again once its pause is over."""
        if self.process is None and now >= self._due:
            self._restarts += 1
            self.spawn(warden)

    def press_to_stop(self, now: float, limit: float) -> None:
        """Ask the process to stop, once; kill its group when its grace or the limit is over."""
        assert self.process is not None
        if self._kill_at is None:
            self._kill_at = min(now + self.child.grace, limit)
            self.process.send_signal(self.child.stop_signal)
        elif now >= self._kill_at:
            _kill_group(self.process.pid)

    def mind_log(self, now: float) -> None:
        """Keep a long run's log from growing without end."""
        if now >= self._log_look:
            self._log_look = now + LOG_LOOK_SECONDS
            rotate(self.log)

    def snapshot(self, now: float) -> Snapshot:
        """Return the child as it is now."""
        return Snapshot(
            name=self.child.name,
            state=self.state,
            pid=self.process.pid if self.process else None,
            uptime=now - self._since if self.process else 0.0,
            restarts=self._restarts,
            last_exit=self._last_exit,
        )

    def _open(self, warden: Warden) -> "subprocess.Popen[bytes]":
        output = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._log_start = os.fstat(output).st_size
            return subprocess.Popen(
                warden.tether(self.child.argv, self.child.stop_signal),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.child.environment},
                start_new_session=True,
                pass_fds=(warden.pipe,),
            )
        finally:
            os.close(output)

    def _last_line(self) -> str:
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start if self._log_start <= size else 0, size - 4096))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
            return lines[-1][:300] if lines else ""
        return ""


def rotate(log: Path, limit: int = LOG_BYTES) -> None:
    """Move a log that is too long aside (three generations) and empty it in place, for its writer keeps it open."""
    if not log.exists() or log.stat().st_size <= limit:
        return
    for generation in range(LOG_GENERATIONS, 1, -1):
        older = log.with_name(f"{log.name}.{generation - 1}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{generation}"))
    shutil.copy2(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Say whether the process ended, leaving its number taken so that its group can still be named safely."""
    if not hasattr(os, "waitid"):  # macOS
        return process.poll() is not None
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _how(status: int) -> str:
    return f"exit {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"
