"""The chain a replay drives: the listener's own parts and a drain, from the text of a message to the booked exit."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from django.conf import settings
from django.db import Error, connection

from apps.market.feeds.base import FeedConfig
from apps.market.feeds.coinbase import CoinbaseFeed
from apps.market.feeds.counters import FeedCounters
from apps.market.feeds.switch import Switchboard
from apps.trading import sweeping
from apps.trading.services import exits
from workers import identity
from workers.listener.emit import Emitter
from workers.listener.flush import Periodic, QuoteFlusher
from workers.listener.leader import Leadership
from workers.listener.levels import Levels
from workers.listener.sources import Source
from workers.listener.watch import Watcher
from workers.replay.recording import Message

log = logging.getLogger(__name__)

AHEAD: Final = 1000  # exits that may wait for the drain before the next message has to
STEP_NS: Final = (
    1000  # between two messages at least: instants are kept to the microsecond, and order is decided by them
)
LOOK_EVERY: Final = 64  # messages
_LEAD_WITHIN = 1.0
_REST = 0.0005
_PATIENCE = 10.0  # seconds without progress


class NotLeading(Exception):
    """Somebody else leads the shard, so nothing was replayed."""


class Broken(Exception):
    """A part of the chain ended before the replay did."""


class Chain:
    """Reads levels, compares, writes exits under the shard's lease and executes them, while messages are pushed."""

    def __init__(self, instruments: dict[str, int], shard: int) -> None:
        self.leadership = Leadership(f"listener:{shard}")
        self.bell = threading.Event()
        self.emitter = Emitter(self.leadership, self.bell.set)
        self.watcher = Watcher(self.emitter.put)
        source = Source(CoinbaseFeed.name, self.watcher, Switchboard())
        source.adopt(self.watcher.follow(symbol, instrument_id) for symbol, instrument_id in instruments.items())
        self.levels = Levels(shard, self.watcher, self.emitter)
        self.drain = _Drain(self.bell)
        self._looked_at = 0  # exits written when the queue was last looked at
        # Its numbering is the recording's own, so what the database knows of trade ids does not count.
        self.feed = CoinbaseFeed(FeedConfig(ws_url="", rest_url="", products=tuple(instruments)), source)
        self._flusher = QuoteFlusher(self.watcher, self.emitter, self.leadership)
        self._broken: list[str] = []
        self._ending = False

    @property
    def counters(self) -> FeedCounters:
        """What became of the messages."""
        return self.feed.counters

    def push(self, messages: Iterable[Message], *, speed: float) -> Iterator[int]:
        """Send messages through the chain and yield now and then how many went in; speed 0 is as fast as it can.

        Raises NotLeading when somebody else leads, and Broken when a part of the chain ended.
        """
        self.levels.start()
        threads = self._start()
        try:
            yield from self._push(messages, _Pace(speed))
            self._settle()
        finally:
            self._stop(threads)

    def _push(self, messages: Iterable[Message], pace: "_Pace") -> Iterator[int]:
        take, count, last_ns = self.feed.text, 0, 0
        self.feed.opened(lambda text: None)
        for count, message in enumerate(messages, 1):
            pace.wait(message.at_ns)
            if count % LOOK_EVERY == 0:
                self._hold_back()
                yield count
            last_ns = max(time.time_ns(), last_ns + STEP_NS)
            take(message.payload, last_ns)
        yield count

    def _hold_back(self) -> None:
        """Wait while exits pile up: a market does not wait, but a replay measures the chain and not its queue."""
        self._check()
        if len(self.emitter) + self.emitter.written - self._looked_at < AHEAD // 2:
            return
        while len(self.emitter) > AHEAD or sweeping.waiting()[0] > AHEAD:
            self._check()
            time.sleep(_REST)
        self._looked_at = self.emitter.written

    def _settle(self) -> None:
        """Wait until every crossing is a row and every row is executed; give up on rows that nothing executes."""
        while not self.emitter.settle(timeout=0.1):
            self._check()
        before, deadline = -1, 0.0
        while count := sweeping.waiting()[0]:
            if count != before:
                before, deadline = count, time.monotonic() + _PATIENCE
            if time.monotonic() > deadline:
                log.warning("%d exits could not be executed", count)
                return
            self.bell.set()
            self._check()
            time.sleep(0.01)

    def _start(self) -> list[tuple[threading.Thread, Callable[[], None]]]:
        quotes = Periodic("quotes", self._flusher.step, 0.25)
        parts: list[tuple[str, Callable[[], None], Callable[[], None]]] = [
            ("leader", self.leadership.run, self.leadership.stop),
            ("emit", self.emitter.run, self.emitter.stop),
            ("levels", self.levels.run, self.levels.stop),
            ("drain", self.drain.run, self.drain.stop),
            ("quotes", quotes.run, quotes.stop),
        ]
        threads = []
        for name, run, stop in parts:
            thread = threading.Thread(target=self._guard, args=(name, run), name=name, daemon=True)
            threads.append((thread, stop))
            thread.start()
        if not self.leadership.leads.wait(_LEAD_WITHIN):
            self._stop(threads)
            raise NotLeading(f"Another process leads {self.leadership.role}: stop it first, or leave out --here.")
        return threads

    def _stop(self, threads: list[tuple[threading.Thread, Callable[[], None]]]) -> None:
        self._ending = True
        for thread, stop in reversed(threads):
            stop()
            thread.join(timeout=5.0)

    def _guard(self, name: str, run: Callable[[], None]) -> None:
        try:
            run()
        finally:
            if not self._ending:
                self._broken.append(name)

    def _check(self) -> None:
        if self._broken or self.leadership.usurped.is_set():
            raise Broken(f"The replay cannot go on: {', '.join(self._broken) or 'another process took the lead'}.")


class _Drain:
    """Executes exits in a thread of its own, as a worker would."""

    def __init__(self, bell: threading.Event) -> None:
        self._bell = bell
        self._stopping = threading.Event()

    def run(self) -> None:
        """Execute what waits whenever the bell rings, until stopped."""
        while not self._stopping.is_set():
            self._bell.wait(0.05)
            self._bell.clear()
            try:
                self._drain()
            except Error as error:
                log.warning("exits wait, the database did not execute them: %s", str(error).strip())
                connection.close()
                self._stopping.wait(0.2)
        connection.close()

    def stop(self) -> None:
        """Stop after the present batch."""
        self._stopping.set()
        self._bell.set()

    def _drain(self) -> None:
        more = True
        while more and not self._stopping.is_set():
            drained = exits.drain(worker=identity.of_this_process(), limit=settings.EXIT_BATCH)
            more = drained.more


class _Pace:
    """Keeps the distances of the recording, divided by the speed."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began = time.monotonic()
        self._first_ns = 0

    def wait(self, at_ns: int) -> None:
        """Sleep until it is this message's turn."""
        if not self._speed:
            return
        self._first_ns = self._first_ns or at_ns
        due = self._began + (at_ns - self._first_ns) / 1e9 / self._speed
        delay = due - time.monotonic()
        if delay > 0:
            time.sleep(delay)
