"""Keeps warnings and worse in PostgreSQL, for when the files are long gone.

Whoever logs never waits: a line goes into a queue of bounded length, and a thread writes what has gathered, many lines
at once. Beyond the bound, and beyond so many a minute, lines are counted and not kept; the files have them. A database
that is away is tried again; what does not fit meanwhile is counted as well.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.db import Error, InterfaceError, connection

from apps.ops.logs import context, formatting, naming
from apps.trading import masking

MOST_WAITING: Final = 2000  # lines
MOST_A_MINUTE: Final = 300  # of one process: a storm says the same again and again
BATCH: Final = 500
GATHER: Final = 0.5  # seconds in which more may come before they are written together
PAUSE: Final = 2.0  # seconds after a failure
MESSAGE: Final = 4000  # characters
TRACE: Final = 20_000

Row = Mapping[str, Any]


def write(rows: Sequence[Row]) -> None:
    """Write lines on a connection of this thread, and let go of it."""
    # Here, because logging is set up before Django knows models.
    from apps.journal import lines
    from apps.journal.models import LogLine

    try:
        lines.write([LogLine(**row) for row in rows])
    finally:
        connection.close()


class Keeper(logging.Handler):
    """The handler that keeps lines. It does nothing in commands that run once, only in processes of the site."""

    def __init__(self, level: int | str = logging.WARNING, write: Callable[[Sequence[Row]], None] = write) -> None:
        super().__init__(level)
        self._write = write
        self._process = naming.of_this_process()
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """Begin anew: a forked child has neither its parent's thread nor its lines."""
        self._waiting: deque[Row] = deque()
        self._due = threading.Event()
        self._thread: threading.Thread | None = None
        self._ended = False
        self._minute = (0, 0)  # which, and how many lines of it
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Let a line be written; never waits."""
        if not self._process or threading.current_thread() is self._thread or self._ended:
            return
        if not self._has_room(int(record.created // 60)):
            self.dropped += 1
            return
        self._waiting.append(_row(record, self._process))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="kept lines", daemon=True)
            self._thread.start()
        self._due.set()

    def _has_room(self, minute: int) -> bool:
        count = self._minute[1] + 1 if self._minute[0] == minute else 1
        self._minute = (minute, count)
        return count <= MOST_A_MINUTE and len(self._waiting) < MOST_WAITING

    def flush(self) -> None:
        """Give what waits two seconds to be written."""
        deadline = time.monotonic() + 2.0
        while self._waiting and self._thread and self._thread.is_alive() and time.monotonic() < deadline:
            self._due.set()
            time.sleep(0.02)

    def close(self) -> None:
        """Take no more lines."""
        self._ended = True
        self._due.set()
        super().close()

    def _run(self) -> None:
        while not self._ended:
            self._due.wait()
            self._due.clear()
            time.sleep(GATHER)
            while self._waiting and self._step():
                pass

    def _step(self) -> bool:
        """Write a batch; a failed one stays where it is, and the pause after it is waited for here."""
        rows = [self._waiting[place] for place in range(min(len(self._waiting), BATCH))]
        lost, self.dropped = self.dropped, 0
        try:
            self._write([*rows, *([_note(lost, self._process)] if lost else [])])
        except (Error, InterfaceError, OSError):
            self.dropped += lost
            self._due.set()  # the lines still wait
            time.sleep(PAUSE)
            return False
        for _ in rows:
            self._waiting.popleft()
        return True


def _row(record: logging.LogRecord, process: str) -> Row:
    words = context.current()
    return {
        "at": datetime.fromtimestamp(record.created, UTC),
        "level": record.levelname[:8],
        "logger": record.name[:120],
        "process": process[:64],
        "host": settings.HOST_NAME[:120],
        "pid": os.getpid(),
        "message": _text(record.getMessage(), MESSAGE),
        "trace": "\n".join(map(formatting.escaped, formatting.trace(record)[-TRACE:].splitlines())),
        "request_id": words.get("request_id", "")[:64],
        "task": words.get("task", "")[:100],
        "task_id": words.get("task_id", "")[:64],
    }


def _note(lost: int, process: str) -> Row:
    record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, "%d more lines were not kept", (lost,), None)
    return _row(record, process)


def _text(said: str, most: int) -> str:
    return formatting.escaped(masking.mask(said))[:most]


def flush() -> None:
    """Give what waits in this process a moment to be written, before it ends in a way that says nothing to anybody."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Keeper):
            handler.flush()
