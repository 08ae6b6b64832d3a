"""The asking end of the hosts: starting them, waiting for answers with patience, killing what takes too long.

A process keeps one idle host. While one hangs, the next strategy gets another, up to MOST at a time.
"""

import atexit
import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from apps.domain.strategies.contract import Candles
from apps.strategies.host import wire

MOST: Final = 8  # hosts of one process at a time
START_LIMIT: Final = 20.0  # seconds until a new host has imported every plug-in
MOMENT: Final = 5.0  # seconds for the bytes of an answer once they come
# Plug-ins need none of the site's secrets.
PASSED: Final = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "NUMBA_CACHE_DIR",
    "XDG_CACHE_HOME",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
)


class NotYet(Exception):
    """The answer has not come within the patience; it may still come."""


class HostLost(Exception):
    """The process that ran a plug-in ended or was killed; the sentence says how."""


class Host:
    """One process that runs plug-ins; of one thread at a time."""

    def __init__(self) -> None:
        self._link, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "apps.strategies.host", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # a plug-in that prints disturbs nobody
                env=_environment(),
                start_new_session=True,  # Ctrl-C in a terminal is for the worker
            )
        self.known: dict[str, Any] = {}  # what was asked before and does not change while this process lives
        self._deadline = 0.0
        try:
            self._deadline = time.monotonic() + START_LIMIT
            self.answer(START_LIMIT)
        except (NotYet, HostLost):
            self.kill()
            raise HostLost("no process for plug-ins could be started; see the log above") from None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def remaining(self) -> float:
        """Seconds left for the question that was asked."""
        return max(self._deadline - time.monotonic(), 0.0)

    def allow(self, seconds: float) -> None:
        """Start the clock for one strategy, over however many questions."""
        self._deadline = time.monotonic() + seconds

    def ask(self, question: Mapping[str, Any], markets: Sequence[Candles] = ()) -> None:
        """Send a question. Raises HostLost."""
        try:
            self._link.settimeout(self.remaining or MOMENT)
            wire.send(self._link, {**question, "seconds": self.remaining}, markets)
        except OSError as error:
            raise HostLost(self._ended(error)) from None

    def answer(self, patience: float) -> dict[str, Any]:
        """Wait for the answer. Raises NotYet when it takes longer than the patience, and HostLost."""
        coming = select.poll()  # unlike select it takes descriptors above 1023
        coming.register(self._link, select.POLLIN)
        if not coming.poll(max(patience, 0.0) * 1000):
            raise NotYet
        try:
            self._link.settimeout(MOMENT)
            return wire.receive(self._link)[0]
        except (OSError, EOFError) as error:
            raise HostLost(self._ended(error)) from None

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._link.close()

    def forget(self) -> None:
        """Let go of the process without ending it: it belongs to the process we were forked from."""
        self._link.close()

    def _ended(self, error: Exception) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(1.0)
            return f"its process was ended by signal {-code}" if code < 0 else f"its process ended with status {code}"
        return f"its process does not answer: {error}"


class Pool:
    """The hosts of one process; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Host] = []
        self._all: set[Host] = set()
        self._starting = 0

    def take(self) -> Host | None:
        """Return an idle host, or a new one; None when too many are at work. Raises HostLost."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
            if len(self._all) + self._starting >= MOST:
                return None
            self._starting += 1
        try:
            host = Host()
            with self._lock:
                self._all.add(host)
            return host
        finally:
            with self._lock:
                self._starting -= 1

    def give_back(self, host: Host) -> None:
        """Keep a host that has answered for the next question; one idle host is enough."""
        with self._lock:
            if not self._idle and host in self._all:
                self._idle.append(host)
                return
        self.drop(host)

    def drop(self, host: Host) -> None:
        """End a host."""
        with self._lock:
            self._all.discard(host)
        host.kill()

    def close(self) -> None:
        """End every host."""
        with self._lock:
            hosts, self._all, self._idle = list(self._all), set(), []
        for host in hosts:
            host.kill()

    def forget(self) -> None:
        """Start anew in a forked process: the hosts are the parent's."""
        for host in self._all:
            host.forget()
        self.__init__()  # type: ignore[misc] # nothing of the parent's state holds here, its lock least of all

    @contextlib.contextmanager
    def host(self) -> Iterator[Host]:
        """Lend a host for a short question; it is ended when anything goes wrong. Raises HostLost."""
        host = self.take()
        if host is None:
            raise HostLost("all processes for plug-ins are busy")
        try:
            yield host
        except BaseException:  # whatever it was, this host may still be at the question
            self.drop(host)
            raise
        self.give_back(host)


def _environment() -> dict[str, str]:
    passed = {name: os.environ[name] for name in PASSED if name in os.environ}
    return {**passed, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)}


POOL: Final = Pool()
atexit.register(POOL.close)
os.register_at_fork(after_in_child=POOL.forget)
