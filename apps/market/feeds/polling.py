"""What do sources have in common that are asked, not listened to? A thread that asks, a status by its success."""

import logging
import threading
import time
from abc import abstractmethod
from collections.abc import Iterable, Sequence

from apps.market.feeds.base import FeedConfig, FeedSink, FeedState, FeedStatus, Numbering
from apps.market.feeds.gated import GatedFeed, Trade
from apps.market.feeds.rest import FeedUnavailable

log = logging.getLogger(__name__)


class Garbled(ValueError):
    """An answer came and could not be used; `payload` is its beginning, for a person."""

    def __init__(self, sentence: str, payload: bytes) -> None:
        super().__init__(sentence)
        self.payload = payload


class PollingFeed(GatedFeed):
    """A source that is asked for the last price of each product, round after round.

    What is traded between two rounds is never seen; a stop that is touched and left again in between is not noticed.
    """

    numbering = Numbering.NONE

    def __init__(self, config: FeedConfig, sink: FeedSink) -> None:
        super().__init__(config, sink)
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._wanted: dict[str, bool] = {}  # product -> refused
        self._answered_at = 0.0  # monotonic, of the last good answer
        self._began_at = 0.0
        self._is_away = True  # no session: the next good answer begins one
        self._number = 0
        self._state = FeedState(status=FeedStatus.DOWN, reason="not started", session=0, at_ns=time.time_ns())
        self.add_products(config.products)

    # -- the source ----------------------------------------------------------------------------------------------

    @abstractmethod
    def ask(self, symbol: str) -> Sequence[Trade]:
        """Return the newest prints of one product, oldest first. Raises FeedUnavailable and Garbled."""

    @abstractmethod
    def let_go(self) -> None:
        """End a question under way soon and close the connections; called from any thread, more than once."""

    # -- for any thread ------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End `run` from any thread, within a second."""
        self._stopping.set()
        self._wake.set()
        self.let_go()

    def add_products(self, symbols: Iterable[str]) -> None:
        """Ask for more products from the next round on; one that was refused is tried again."""
        chosen = list(dict.fromkeys(symbols))
        self._gate.follow(chosen)
        with self._lock:
            self._wanted |= dict.fromkeys(chosen, False)
        self._wake.set()

    def remove_products(self, symbols: Iterable[str]) -> None:
        """Ask no more for these products."""
        chosen = list(symbols)
        with self._lock:
            for symbol in chosen:
                self._wanted.pop(symbol, None)
        self._gate.forget(chosen)

    def products(self) -> frozenset[str]:
        """Return the products that are followed, refused ones included."""
        with self._lock:
            return frozenset(self._wanted)

    def state(self) -> FeedState:
        """Return the present status."""
        return self._state

    # -- the threads ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Ask in a thread and watch it until `stop`. Raises RuntimeError when the thread died."""
        self._began_at = time.monotonic()
        self._change(FeedStatus.CONNECTING, "asking")
        asking = threading.Thread(target=self._rounds, name="feed-poll", daemon=True)
        asking.start()
        while not self._stopping.wait(self.config.timings.watch_every) and asking.is_alive():
            self._watch()
        has_crashed = not self._stopping.is_set()
        self.stop()
        asking.join(timeout=1.0)
        self._change(FeedStatus.DOWN, "stopped")
        if has_crashed:
            raise RuntimeError("the asking thread of the feed died; its error is above")

    def _rounds(self) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            self._wake.clear()
            with self._lock:
                symbols = [symbol for symbol, refused in self._wanted.items() if not refused]
            for symbol in symbols:
                if self._stopping.is_set():
                    return
                self._one(symbol)
            due = max(due + self.config.timings.poll_every, time.monotonic())
            self._wake.wait(due - time.monotonic() if symbols else None)

    def _one(self, symbol: str) -> None:
        try:
            prints = self.ask(symbol)
        except Garbled as fault:
            self.counters.received += 1
            self.counters.quarantine(fault.payload, reason=str(fault)[:120], received_ns=time.time_ns())
        except FeedUnavailable as failure:
            self._failed(symbol, failure)
        else:
            self._take(symbol, prints, time.time_ns())

    def _take(self, symbol: str, prints: Sequence[Trade], received_ns: int) -> None:
        self._answered_at = time.monotonic()
        if self._is_away:
            self._begin()
        self.counters.received += len(prints)
        for item in prints:
            self._gate.take(item, received_ns)
        self._gate.alive(symbol, received_ns)
        if self._state.status is not FeedStatus.LIVE:
            self._change(FeedStatus.LIVE, "data")

    def _begin(self) -> None:
        self._is_away = False
        self._number += 1
        self.counters.sessions += 1
        self._gate.session_opened()

    def _failed(self, symbol: str, failure: FeedUnavailable) -> None:
        if self._stopping.is_set():
            return
        if not failure.permanent:
            log.info("no price of %s: %s", symbol, failure)
            return
        with self._lock:
            if symbol in self._wanted:
                self._wanted[symbol] = True
        self.sink.refused(symbol, str(failure)[:200])

    def _watch(self) -> None:
        timings = self.config.timings
        age = time.monotonic() - max(self._answered_at, self._began_at)
        if age >= timings.kill_after and self._state.status is not FeedStatus.DOWN:
            self._is_away = True
            self.counters.reconnects["silent"] += 1
            self._change(FeedStatus.DOWN, "silent")
        elif timings.stale_after <= age < timings.kill_after and self._state.status is FeedStatus.LIVE:
            self._change(FeedStatus.STALE, "silent")

    def _change(self, status: FeedStatus, reason: str) -> None:
        self._state = FeedState(status=status, reason=reason, session=self._number, at_ns=time.time_ns())
        self.sink.state(self._state)
