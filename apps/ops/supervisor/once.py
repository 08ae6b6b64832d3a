"""One supervisor per state directory: the second one learns who the first one is."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path


class AlreadyRunning(Exception):
    """Another supervisor holds the lock; the sentence names its process and address."""


class Claim:
    """The lock while it is held; `announce` tells others where the site answers."""

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self.announce("")

    def announce(self, address: str, venue: str = "") -> None:
        """Write our pid and the site's address for whoever finds the lock taken, and where the simulated venue is."""
        text = json.dumps({"pid": os.getpid(), "address": address, "venue": venue}).encode()
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, text, 0)


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[Claim]:
    """Hold the lock file for the duration; raises AlreadyRunning at once when another process has it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(_who(path)) from None
        yield Claim(lock)
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)  # a forked child may still share the open file
        os.close(lock)


def _who(path: Path) -> str:
    try:
        found = json.loads(path.read_text())
        pid, address = int(found["pid"]), str(found["address"])
    except (ValueError, KeyError, TypeError):
        return f"The site is already running here ({path} is locked): stop it first."
    place = f", address {address}" if address else ""
    return f"The site is already running here, pid {pid}{place}: stop it with Ctrl-C there or `kill {pid}`."
