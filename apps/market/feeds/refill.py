"""How do missed trades come back? A thread asks the venue by REST, for them and for prices while the feed is silent.

Ticks leave in the order of trade ids within one delivery. Trades that the venue shows late, or not at all, are asked
for again a few times; then the hole is reported as uncovered, never forgotten.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from apps.domain.ticks import Tick
from apps.market.feeds import ranges
from apps.market.feeds.asking import Asking, RefillTimings
from apps.market.feeds.base import VenueRest
from apps.market.feeds.ranges import Range
from apps.market.feeds.rest import FeedUnavailable

log = logging.getLogger(__name__)


class RefillSink(Protocol):
    """Who takes what the refiller finds, in its thread; `uncovered` also comes in the thread that calls `request`."""

    def refilled(self, ticks: list[Tick]) -> None:
        """Take trades of one product, oldest first, each marked as refilled."""

    def uncovered(self, symbol: str, first_id: int, last_id: int, reason: str) -> None:
        """Note that the trades with these ids, both ends included, will not come."""


@dataclass(slots=True)
class RefillCounters:
    """What the refiller has counted since it started."""

    requested: int = 0  # trade ids
    delivered: int = 0
    uncovered: int = 0
    asks: int = 0
    polls: int = 0
    failures: int = 0


@dataclass(slots=True, eq=False)
class _Need:
    """What is missing of one product, when to ask next (monotonic seconds), and how often it was asked in vain."""

    missing: list[Range]
    ask_at: float
    failed: int = 0


class Refiller(Asking):
    """Fetches declared holes and polls tickers. `request` and `poll` return at once and are safe from any thread."""

    def __init__(
        self,
        rest: VenueRest,
        sink: RefillSink,
        *,
        last_trade_id: Callable[[str], int],
        last_price: Callable[[str], float] | None = None,
        timings: RefillTimings | None = None,
    ) -> None:
        super().__init__(rest, timings, "feed-refill")
        self.counters = RefillCounters()
        self._sink = sink
        self._last_trade_id = last_trade_id
        self._last_price = last_price or _unknown_price
        self._waiting: deque[tuple[str, int, int]] = deque()
        self._needs: dict[str, _Need] = {}
        self._polled: dict[str, tuple[int, float]] = {}
        self._round: deque[str] = deque()

    # -- for any thread ------------------------------------------------------------------------------------------

    def request(self, symbol: str, first_id: int, last_id: int) -> None:
        """Ask for the trades of a hole, both ends included."""
        self.counters.requested += last_id - first_id + 1
        if len(self._waiting) >= self._timings.max_waiting:
            self._give_up(symbol, [(first_id, last_id)], "too many holes are waiting")
            return
        self._waiting.append((symbol, first_id, last_id))
        self._wake.set()

    def idle(self) -> bool:
        """Say whether every hole requested so far is filled or given up."""
        return not self._waiting and not self._needs and not self._is_busy

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            self._collect()
            now = time.monotonic()
            due = next((symbol for symbol, need in self._needs.items() if need.ask_at <= now), None)
            if due is not None:
                self._is_busy = True
                self._fill(due)
                self._is_busy = False
            elif not self._poll_next(now):
                self._wake.wait(self._pause(now, [need.ask_at for need in self._needs.values()]))

    def _collect(self) -> None:
        while self._waiting:
            symbol, first_id, last_id = self._waiting[0]
            oldest = max(first_id, last_id - self._timings.max_range + 1)
            if oldest > first_id:
                self._give_up(symbol, [(first_id, oldest - 1)], f"more than {self._timings.max_range} trades")
            need = self._needs.setdefault(symbol, _Need([], time.monotonic() + self._timings.linger))
            need.missing = ranges.merged([*need.missing, (oldest, last_id)])
            self._waiting.popleft()  # last, so that `idle` never sees it in neither place

    def _fill(self, symbol: str) -> None:
        need = self._needs.pop(symbol)
        page, rest = _first_page(need.missing, self._timings.page)
        try:
            self.counters.asks += 1
            found = [
                tick for tick in self._rest.trades(symbol, page[0][0], page[-1][1]) if ranges.holds(page, tick.trade_id)
            ]
        except FeedUnavailable as failure:
            self._failed(symbol, need, failure)
            return
        if found:
            self._deliver(found, self._last_price(symbol))
        still = ranges.without(page, [tick.trade_id for tick in found])
        if still:
            self._again(symbol, need, still, rest, "the venue does not show these trades")
        elif rest:
            self._needs[symbol] = _Need(rest, time.monotonic())

    def _failed(self, symbol: str, need: _Need, failure: FeedUnavailable) -> None:
        self.counters.failures += 1
        if self._stopping.is_set():
            return
        if failure.permanent:
            self._give_up(symbol, need.missing, str(failure))
        else:
            self._again(symbol, need, need.missing, [], str(failure))

    def _again(self, symbol: str, need: _Need, still: list[Range], rest: list[Range], reason: str) -> None:
        """Put back what did not come; after the last attempt give it up and go on with the rest."""
        failed = need.failed + 1
        if failed >= self._timings.attempts:
            self._give_up(symbol, still, reason)
            if rest:
                self._needs[symbol] = _Need(rest, time.monotonic())
            return
        ask_at = time.monotonic() + self._timings.retry_after(failed)
        self._needs[symbol] = _Need(ranges.merged([*still, *rest]), ask_at, failed)

    def _poll_next(self, now: float) -> bool:
        """Ask for one ticker when a round is due or under way; say whether there was one to ask for."""
        symbols = self._symbols
        if not self._round and symbols and now >= self._round_at:
            self._round.extend(symbols)
            self._round_at = now + self._timings.poll_every
        while self._round:
            symbol = self._round.popleft()
            if symbol in symbols:
                self._ask_ticker(symbol)
                return True
        return False

    def _ask_ticker(self, symbol: str) -> None:
        self.counters.polls += 1
        try:
            tick = self._rest.ticker(symbol)
        except FeedUnavailable as failure:
            self.counters.failures += 1
            log.info("no ticker of %s: %s", symbol, failure)
            return
        polled_id, polled_price = self._polled.get(symbol, (0, 0.0))
        heard_id = self._last_trade_id(symbol)
        known = max(polled_id, heard_id)
        if tick.trade_id > known:
            self._polled[symbol] = tick.trade_id, tick.price
            # The very first price of a product may be hours old: it is shown, and triggers nothing.
            tick = replace(tick, snapshot=known == 0)
            if known and tick.trade_id > known + 1:
                self.request(symbol, known + 1, tick.trade_id - 1)  # a stop between two polls is not to wait either
            self._deliver([tick], polled_price if polled_id > heard_id else self._last_price(symbol))

    def _deliver(self, ticks: list[Tick], reference: float) -> None:
        self.counters.delivered += len(ticks)
        self._sink.refilled(self._marked(ticks, reference))

    def _give_up(self, symbol: str, missing: list[Range], reason: str) -> None:
        for first_id, last_id in missing:
            self.counters.uncovered += last_id - first_id + 1
            log.warning("trades %d to %d of %s stay missing: %s", first_id, last_id, symbol, reason)
            self._sink.uncovered(symbol, first_id, last_id, reason)


def _unknown_price(symbol: str) -> float:
    del symbol
    return 0.0


def _first_page(missing: list[Range], size: int) -> tuple[list[Range], list[Range]]:
    """Split sorted ranges at `size` ids from the first one: what one question can ask for, and what is left."""
    end = missing[0][0] + size - 1
    page = [(first, min(last, end)) for first, last in missing if first <= end]
    rest = [(max(first, end + 1), last) for first, last in missing if last > end]
    return page, rest
