"""Which products are asked for, which are delivered, which did the venue refuse? One lock, no network, no clock.

One subscribe message is out at a time, so an error can only mean its products. When the error names none of them the
message is broken up and its products are asked for one by one: an unknown product never costs the others their prices.
"""

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from apps.market.feeds.base import FeedTimings

SILENT_ASKS = 3  # unanswered ones in a session until somebody is told
_DOUBLINGS = 8


@dataclass(slots=True, eq=False)
class _Wish:
    """One product: when it is asked for next (monotonic seconds), how often it was, and what came of it."""

    ask_at: float = 0.0
    asked: int = 0
    is_delivered: bool = False
    is_refused: bool = False
    is_alone: bool = False  # asked for in a message of its own
    beat_at: float = 0.0  # its last heartbeat in this session, 0 when none
    since: float = 0.0  # when it was confirmed in this session, 0 when it was not
    is_told: bool = False  # somebody was told that it is mute


class Subscriptions:
    """The wishes of one feed; safe from any thread. Times are monotonic seconds."""

    def __init__(self, *, timings: FeedTimings, batch: int) -> None:
        self._timings = timings
        self._batch = batch
        self._lock = threading.Lock()
        self._wishes: dict[str, _Wish] = {}
        self._leaving: set[str] = set()
        self._out: tuple[str, ...] = ()
        self._out_until = 0.0

    def wanted(self) -> frozenset[str]:
        """Return every product asked for, refused ones included."""
        with self._lock:
            return frozenset(self._wishes)

    def delivered(self) -> frozenset[str]:
        """Return the products that the venue delivers in this session."""
        with self._lock:
            return frozenset(symbol for symbol, wish in self._wishes.items() if wish.is_delivered)

    def add(self, symbols: Iterable[str]) -> None:
        """Ask for these products; one that was refused is tried again."""
        with self._lock:
            for symbol in symbols:
                wish = self._wishes.get(symbol)
                if wish is None or wish.is_refused:
                    self._wishes[symbol] = _Wish(is_alone=wish is not None)
                self._leaving.discard(symbol)

    def remove(self, symbols: Iterable[str]) -> None:
        """Ask no more for these products."""
        with self._lock:
            self._leaving.update(symbol for symbol in symbols if self._wishes.pop(symbol, None))

    def session_opened(self) -> None:
        """Ask for everything again; what was refused before is asked for last and alone."""
        with self._lock:
            self._leaving.clear()
            self._out = ()
            self._wishes = {s: _Wish(is_alone=wish.is_alone or wish.is_refused) for s, wish in self._wishes.items()}

    # -- what to send --------------------------------------------------------------------------------------------

    def next_leaving(self) -> list[str]:
        """Return products to unsubscribe from, at most one batch, and forget them."""
        with self._lock:
            chosen = sorted(self._leaving)[: self._batch]
            self._leaving.difference_update(chosen)
            return chosen

    def next_batch(self, now: float) -> tuple[list[str], list[str]]:
        """Return the products to subscribe to now, and those among them that went unanswered too often."""
        with self._lock:
            self._lost_beats(now)
            if self._out and now < self._out_until:
                return [], []
            due = [symbol for symbol, wish in self._wishes.items() if self._is_due(wish, now)]
            together = [symbol for symbol in due if not self._wishes[symbol].is_alone]
            chosen = together[: self._batch] or due[:1]
            self._out, self._out_until = tuple(chosen), now + self._timings.ack_timeout
            for symbol in chosen:
                self._ask(self._wishes[symbol], now)
            return chosen, [symbol for symbol in chosen if self._wishes[symbol].asked == SILENT_ASKS + 1]

    def _ask(self, wish: _Wish, now: float) -> None:
        span = self._timings.ack_timeout * 2.0 ** min(wish.asked, _DOUBLINGS)
        wish.asked += 1
        wish.ask_at = now + min(span, self._timings.ack_cap)

    def _lost_beats(self, now: float) -> None:
        """Ask again for a product that fell silent while others beat: the venue may have dropped it alone."""
        beats = [wish.beat_at for wish in self._wishes.values() if wish.beat_at]
        if not beats or now - max(beats) > self._timings.stale_after:
            return  # the whole feed is silent: that is the session's business
        for wish in self._wishes.values():
            if wish.is_delivered and 0.0 < wish.beat_at < now - self._timings.product_timeout:
                wish.is_delivered, wish.beat_at, wish.ask_at = False, 0.0, now

    @staticmethod
    def _is_due(wish: _Wish, now: float) -> bool:
        return not wish.is_delivered and not wish.is_refused and wish.ask_at <= now

    # -- what came back ------------------------------------------------------------------------------------------

    def acknowledged(self, symbols: Collection[str], now: float) -> None:
        """Take the venue's full list of what it delivers; what it lost is asked for again."""
        with self._lock:
            self._out = ()
            for symbol, wish in self._wishes.items():
                if symbol in symbols:
                    self._confirm(wish, now)
                elif wish.is_delivered:
                    wish.is_delivered, wish.ask_at = False, now

    def confirmed(self, symbols: Iterable[str], now: float) -> None:
        """Take the venue's word for some products; the others are still waited for."""
        with self._lock:
            for symbol in symbols:
                if symbol in self._wishes:
                    self._confirm(self._wishes[symbol], now)
                self._answered(symbol)

    def refuse(self, symbol: str) -> bool:
        """Take the venue's refusal of one product; say whether it was asked for. The others are still waited for."""
        with self._lock:
            self._answered(symbol)
            wish = self._wishes.get(symbol)
            if wish is None or wish.is_refused:
                return False
            wish.is_refused, wish.is_delivered = True, False
            return True

    def _confirm(self, wish: _Wish, now: float) -> None:
        wish.is_delivered, wish.is_refused, wish.asked = True, False, 0
        wish.since = wish.since or now

    def _answered(self, symbol: str) -> None:
        self._out = tuple(other for other in self._out if other != symbol)

    def mute(self, now: float, known: Collection[str]) -> list[str]:
        """Return, once each, the confirmed products of which nothing is known `mute_after` seconds later."""
        limit = now - self._timings.mute_after
        with self._lock:
            found = [
                symbol
                for symbol, wish in self._wishes.items()
                if symbol not in known and wish.is_delivered and not wish.is_told and 0.0 < wish.since < limit
            ]
            for symbol in found:
                self._wishes[symbol].is_told = True
            return found

    def beat(self, symbol: str, now: float) -> None:
        """Note a heartbeat: the product is delivered, acknowledged or not."""
        wish = self._wishes.get(symbol)  # no lock: one heartbeat more or less decides nothing
        if wish is not None:
            wish.beat_at, wish.is_delivered, wish.asked = now, True, 0

    def failed(self, named: Collection[str], now: float) -> list[str]:
        """Take an error about the message that is out and return the products it refuses.

        `named` are the products that the error's text names. The others are asked for again at once.
        """
        with self._lock:
            culprits = [symbol for symbol in self._out if symbol in named]
            if len(self._out) == 1:
                culprits = list(self._out)
            out = [symbol for symbol in self._out if symbol in self._wishes]
            self._out = ()
            for symbol in out:
                wish = self._wishes[symbol]
                wish.is_refused = symbol in culprits
                wish.is_alone = wish.is_alone or not culprits
                wish.ask_at = now
            return [symbol for symbol in culprits if symbol in self._wishes]

    def postponed(self, now: float) -> None:
        """Take a refusal that is no verdict on the products (too many messages): ask for nothing for a while."""
        with self._lock:
            for wish in self._wishes.values():
                if not wish.is_delivered:
                    wish.ask_at = max(wish.ask_at, now + self._timings.ack_timeout)
            self._out = ()
