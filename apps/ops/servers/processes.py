"""How a server process is started detached, recognised later, and ended. A pid alone is never trusted."""

import atexit
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

from apps.ops.servers.places import Account

LOG_BYTES = 5_000_000
_started: dict[int, "subprocess.Popen[bytes]"] = {}


def launch(
    argv: Sequence[str | Path], *, log: Path, account: Account | None, keep: Sequence[int] = ()
) -> "subprocess.Popen[bytes]":
    """Start a program in a session of its own, out of reach of Ctrl-C; `keep` lists open files to pass on."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        process = subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=_environment(),
            start_new_session=True,
            pass_fds=tuple(keep),
            umask=0o077,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    _started[process.pid] = process
    return process


def run(argv: Sequence[str | Path], *, account: Account | None) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end as the servers' user and return what it printed."""
    return subprocess.run(
        [str(part) for part in argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
        env=_environment(),
        umask=0o077,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def recorded_pid(path: Path) -> int | None:
    """Return the pid on the first line of a pid file, or None when there is none."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int(path.read_text().splitlines()[0])
        return pid if pid > 1 else None
    return None


def is_running(pid: int | None, argument: Path) -> bool:
    """Say whether `pid` is a live process started with exactly this argument: numbers are used again."""
    if pid is None:
        return False
    _reap()
    try:
        return str(argument) in psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def started_with(argument: Path) -> list[int]:
    """Return the live processes started with exactly this argument, without those that another of them forked."""
    found = {}
    for process in psutil.process_iter(["cmdline", "ppid"]):
        if str(argument) in (process.info["cmdline"] or ()):
            found[process.pid] = process.info["ppid"]
    return [pid for pid, parent in found.items() if parent not in found]


def end(pid: int, argument: Path, number: signal.Signals) -> None:
    """Signal the process unless it is gone or is not the one started with this argument."""
    if is_running(pid, argument):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_gone(pid: int, argument: Path, seconds: float) -> bool:
    """Wait until the process is gone; False when it still runs after `seconds`."""
    deadline = time.monotonic() + seconds
    while is_running(pid, argument):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def disown() -> None:
    """Stop expecting an end of the servers still running: they outlive us on purpose, and Popen would warn."""
    _reap()
    for process in _started.values():
        process.returncode = 0
    _started.clear()


def last_words(paths: Iterable[Path]) -> str:
    """Return the newest line that names an error in these logs, else the last line, else an empty text."""
    lines: list[str] = []
    for path in sorted((path for path in paths if path.is_file()), key=lambda path: path.stat().st_mtime):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            lines += [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    wrong = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "rror", "ailed"))]
    return (wrong or lines or [""])[-1].strip()


def _reap() -> None:
    for pid, process in list(_started.items()):
        if process.poll() is not None:
            _started.pop(pid, None)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


atexit.register(disown)
