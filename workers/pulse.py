"""The sign of life of a worker: a thread of its parent process writes it every two seconds."""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from django.db import Error, close_old_connections, connection
from django.utils import timezone

from apps.journal import pulses

SECONDS: Final = 2.0

logger = logging.getLogger(__name__)


class Pulse:
    """Writes a sign of life until it is told to stop; a database that is away costs beats, never the worker."""

    def __init__(self, name: str, facts: Callable[[], Mapping[str, Any]]) -> None:
        self._name = name
        self._facts = facts
        self._started_at = timezone.now()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._failing = False

    def start(self) -> None:
        """Begin to beat, at once for the first time."""
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Stop beating; waits `timeout` seconds at most for a beat under way."""
        self._ended.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        # The connection is this thread's own: a child forked meanwhile never touches it.
        while not self._ended.is_set():
            self._beat(timezone.now())
            self._ended.wait(SECONDS)
        connection.close()

    def _beat(self, now: datetime) -> None:
        close_old_connections()
        try:
            pulses.beat(self._name, self._facts(), started_at=self._started_at, now=now)
            self._failing = False
        except Error as error:
            if not self._failing:
                logger.warning("No sign of life could be written: %s", error)
            self._failing = True
