"""The second look at orders, in a thread of its own: a broker that does not answer must not hold up the stops."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import Error, connection

from apps.trading import sweeping
from apps.trading.services import paper_matching, protecting, sending

PATIENCE: Final = timedelta(seconds=0.5)  # an order may wait that long for a worker before it is sent from here
_COMPLAIN_AFTER: Final = timedelta(seconds=5)
_KEEP_EVERY: Final = 5  # rounds between two looks at the stops kept at venues
_STEPS: Final = 50
_PAPER_ORDERS: Final = 500

log = logging.getLogger(__name__)


class OrderSweep:
    """Sends, takes back and looks at orders that no worker saw to, while `leads` says that this process leads."""

    def __init__(self, worker: str, leads: Callable[[], bool], every: float = 1.0) -> None:
        self.taken = 0  # steps of orders since the start
        self._worker = worker
        self._leads = leads
        self._every = every
        self._round = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self.run, name="order-sweep", daemon=True)

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def mind(self) -> None:
        """Raise RuntimeError when the thread has died of something nobody foresaw: the process is to end and come back.

        A sweeper that lives on while nobody sees to orders would be silent.
        """
        if self._thread.ident is not None and not self._thread.is_alive() and not self._stopping.is_set():
            raise RuntimeError("the thread that sees to orders has ended; its log says why")

    def stop(self, patience: float = 2.0) -> None:
        """Stop after the present round; one that waits for a broker is left behind, its orders are looked at later."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(patience)

    def run(self) -> None:
        """Sweep until stopped."""
        while not self._stopping.wait(self._every):
            try:
                if self._leads():
                    self.sweep()
            except Error as error:
                log.warning("the sweep of orders was cut short: %s", str(error).strip())
                connection.close()
        connection.close()

    def sweep(self) -> None:
        """Look once at everything that has waited too long."""
        self._round += 1
        paper_matching.match_due(datetime.now(UTC), _PAPER_ORDERS)
        sent = sending.send_due(self._worker, _STEPS, clock=lambda: datetime.now(UTC), patience=PATIENCE)
        self.taken += sent.taken
        if self._round % _KEEP_EVERY == 0:
            protecting.keep(now=datetime.now(UTC))
        sweeping.complain_of_orders(_COMPLAIN_AFTER)
