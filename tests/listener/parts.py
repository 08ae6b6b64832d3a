"""The parts of a listener on the test database, put together the way the process does it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection

from apps.domain.ticks import Tick
from apps.market.models import Instrument
from tests import factories
from workers.listener.emit import Emitter
from workers.listener.flush import QuoteFlusher
from workers.listener.leader import Leadership
from workers.listener.levels import Levels
from workers.listener.watch import Watcher


def wait_until(true: Callable[[], object], timeout: float = 10.0, every: float = 0.005) -> float:
    """Wait until something is true; return how many seconds it took. Raises AssertionError."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < timeout, "it did not become true in time"
        time.sleep(every)
    return time.monotonic() - began


class Parts:
    """One listener of shard 0: everything but the feed."""

    def __init__(
        self, *instruments: Instrument, epoch: int | None = None, ring: Callable[[], object] = lambda: None
    ) -> None:
        """Lead at once under a given epoch, or run `leadership` to compete for it."""
        self.leadership = Leadership(factories.ROLE)
        if epoch is not None:
            factories.lead(epoch)
            self.leadership.epoch = epoch
            self.leadership.leads.set()
        self.emitter = Emitter(self.leadership, ring)
        self.watcher = Watcher(self.emitter.put)
        self.levels = Levels(0, self.watcher, self.emitter)
        self.flusher = QuoteFlusher(self.watcher, self.emitter, self.leadership, 0)
        for instrument in instruments:
            self.watcher.follow(instrument.symbol, instrument.pk)

    def tick(self, *ticks: Tick) -> None:
        for tick in ticks:
            self.watcher.tick(tick)

    @contextmanager
    def running(self, *names: str) -> Iterator[None]:
        """Run some of the parts in threads of their own."""
        parts = [getattr(self, name) for name in names]
        threads = [threading.Thread(target=part.run, name=name) for part, name in zip(parts, names, strict=True)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for part, thread in zip(parts, threads, strict=True):
                part.stop()
                thread.join(10)
                assert not thread.is_alive(), thread.name


@contextmanager
def unreachable_database() -> Iterator[None]:
    """Let no other thread connect, and end the connections they have."""
    settings = connection.settings_dict
    port, settings["PORT"] = settings["PORT"], 1
    try:
        end_other_connections()
        yield
    finally:
        settings["PORT"] = port


def end_other_connections() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'market-store'"
        )
