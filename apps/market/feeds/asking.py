"""What do the two refillers have in common? A thread of their own, its REST client, and products to poll in silence."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from apps.domain import feed_rules
from apps.domain.ticks import Tick
from apps.market.feeds.base import VenueRest


@dataclass(frozen=True, slots=True, kw_only=True)
class RefillTimings:
    """Every limit of a refiller; spans in seconds."""

    linger: float = 0.05  # gathers holes that are declared together, and lets the venue's REST side catch up
    attempts: int = 8
    retry_base: float = 0.5
    retry_cap: float = 30.0
    max_range: int = 10_000  # trade ids of one hole; what is older is uncovered
    max_waiting: int = 10_000  # holes nobody has looked at yet
    page: int = 1000  # trade ids asked for at once
    poll_every: float = 1.0
    mark_band: float = 0.01  # a rate: further than this from the prices around it a trade moves no trailing mark

    def retry_after(self, failed: int) -> float:
        """Return how long to wait after so many failures in a row."""
        return float(min(self.retry_base * 2.0 ** (failed - 1), self.retry_cap))


class Asking(ABC):
    """A thread that asks one venue by REST for what its feed did not bring. Every method is safe from any thread."""

    def __init__(self, rest: VenueRest, timings: RefillTimings | None, name: str) -> None:
        self._rest = rest
        self._timings = timings or RefillTimings()
        self._symbols: tuple[str, ...] = ()
        self._round_at = 0.0
        self._is_busy = False
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> bool:
        """End the thread and close the REST client; say whether it ended within `timeout` seconds."""
        self._stopping.set()
        self._wake.set()
        self._rest.close()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def poll(self, symbols: Iterable[str]) -> None:
        """Ask for the last trade of these products every second from now on; none of them ends it."""
        self._symbols = tuple(symbols)
        self._wake.set()

    def alive(self) -> bool:
        """Say whether the thread works; a dead one is a bug whose error is in the log."""
        return self._thread.is_alive()

    @abstractmethod
    def idle(self) -> bool:
        """Say whether all that was asked for so far has come or is given up."""

    @abstractmethod
    def _run(self) -> None:
        """Work until stopped."""

    def _pause(self, now: float, moments: Iterable[float]) -> float:
        """Return the seconds until the first of these moments or the next round of polls."""
        rounds = [self._round_at] if self._symbols else []
        return max(min([*moments, *rounds], default=now + 60.0) - now, 0.0)

    def _marked(self, ticks: Sequence[Tick], reference: float) -> list[Tick]:
        """Return ticks marked where nothing around them confirms their price: they move no trailing mark."""
        lonely = feed_rules.lonely([tick.price for tick in ticks], reference, self._timings.mark_band)
        return [replace(tick, off_market=True) if alone else tick for tick, alone in zip(ticks, lonely, strict=True)]
