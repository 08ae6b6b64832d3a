"""Bringing the site to rest before its tables change: the supervisor here is stopped, others are waited for."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import DatabaseError

from apps.journal.models import Pulse
from apps.ops import stopping
from apps.ops.supervisor import AlreadyRunning, only_one
from apps.ops.upgrading.errors import UpgradeRefused
from apps.trading import selectors

LOCK: Final = "up.lock"
DRAIN: Final = 10.0  # seconds that exits which wait may take
STOP: Final = 60.0  # seconds that the supervisor may take to end everything
RECENT: Final = timedelta(seconds=10)  # a process elsewhere counts as ended this long after its last sign of life
SILENCE: Final = 25.0  # seconds to wait for that
LOOK: Final = 0.2
Say = Callable[[str], None]
Clock = Callable[[], datetime]


@contextlib.contextmanager
def kept(clock: Clock, say: Say) -> Iterator[None]:
    """Stop the site on this machine, and keep it from starting until the end. Raises UpgradeRefused.

    A service manager that starts the supervisor again meanwhile finds its lock taken, and tries until this is done.
    """
    lock = Path(settings.VAR) / LOCK
    _stop(lock, clock, say)
    try:
        with only_one(lock):
            stopping.forget()
            _wait_for_others(clock, say)
            yield
    except AlreadyRunning as error:
        raise UpgradeRefused(f"Something started the site again: {error}") from None


def _stop(lock: Path, clock: Clock, say: Say) -> None:
    pid = _holder(lock)
    if pid is None:
        return
    _drain(say)
    say(f"stopping the site here (pid {pid})")
    stopping.announce("an upgrade", stopping.person(), clock())
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP
    while _holder(lock) == pid:
        if time.monotonic() > deadline:
            raise UpgradeRefused(f"The site (pid {pid}) did not stop within {STOP:.0f} s: stop it, then try again.")
        time.sleep(LOOK)


def _holder(lock: Path) -> int | None:
    """Return the pid of the supervisor that holds the lock, None when it is free."""
    try:
        with only_one(lock):
            return None
    except AlreadyRunning as error:
        try:
            return int(json.loads(lock.read_text())["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            raise UpgradeRefused(str(error)) from None


def _drain(say: Say) -> None:
    """Let exits that wait be executed first: while the site is stopped nobody does."""
    deadline = time.monotonic() + DRAIN
    with contextlib.suppress(DatabaseError):  # of older tables: whoever can read them is about to end
        while (waiting := selectors.exits_waiting().exits) and time.monotonic() < deadline:
            say(f"waiting for {waiting} exits to be executed")
            time.sleep(1.0)


def _wait_for_others(clock: Clock, say: Say) -> None:
    """Wait for processes that the supervisor here has not started; whoever lives on keeps the upgrade away."""
    deadline, told = time.monotonic() + SILENCE, False
    while alive := sorted({f"{name} at {host}:{pid}" for name, host, pid in _seen(clock()) if _lives(host, pid)}):
        names = ", ".join(alive)
        if time.monotonic() > deadline:
            raise UpgradeRefused(f"These processes of the site still run: {names}. Stop them, then try again.")
        if not told:
            say(f"waiting for {names}")
            told = True
        time.sleep(LOOK)


def _seen(now: datetime) -> list[tuple[str, str, int]]:
    """Return name, host and pid of whoever gave a sign of life lately, asking for no column that may be new."""
    rows = Pulse.objects.filter(beat_at__gte=now - RECENT).order_by("name")
    return list(rows.values_list("name", "host", "pid"))


def _lives(host: str, pid: int) -> bool:
    """Say whether a process is there; of this machine that is known at once."""
    if host != settings.HOST_NAME:
        return True
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
