"""The second look at risk, in a thread of its own: many accounts take a while, and the stops must not wait for them."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import Error, connection

from apps.trading.services import monitoring

OVERDUE_AFTER: Final = timedelta(seconds=10)  # beat looks every 5 seconds
_EVERY: Final = 2.0

log = logging.getLogger(__name__)


class RiskSweep:
    """Looks at risk where nobody has for a while, while `leads` says that this process leads."""

    def __init__(self, leads: Callable[[], bool], every: float = _EVERY) -> None:
        self.looks = 0  # since the start
        self._leads = leads
        self._every = every
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self.run, name="risk-sweep", daemon=True)

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def mind(self) -> None:
        """Raise RuntimeError when the thread has died of something nobody foresaw: the process is to come back anew."""
        if self._thread.ident is not None and not self._thread.is_alive() and not self._stopping.is_set():
            raise RuntimeError("the thread that looks at risk has ended; its log says why")

    def stop(self, patience: float = 2.0) -> None:
        """Stop after the present look."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(patience)

    def run(self) -> None:
        """Look until stopped."""
        while not self._stopping.wait(self._every):
            try:
                if self._leads():
                    self.sweep()
            except Error as error:
                log.warning("the look at risk was cut short: %s", str(error).strip())
                connection.close()
        connection.close()

    def sweep(self) -> None:
        """Look once, if it is overdue."""
        now = datetime.now(UTC)
        if monitoring.is_overdue(OVERDUE_AFTER, now):
            monitoring.monitor(now)
            self.looks += 1
