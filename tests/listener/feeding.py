"""Ticks out of nothing, and a watcher that remembers what it handed on."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from apps.domain.book import Watch
from apps.domain.legs import LegKind
from apps.domain.ticks import Tick
from apps.trading.services.exits import Crossing
from apps.trading.watches import Changed
from workers.listener.tape import Tape, from_ns
from workers.listener.watch import Watcher

SYMBOL = "BTC-USD"
START_NS = time.time_ns() // 1_000_000 * 1_000_000


def tick(price: str, trade_id: int, *, ms: float = 0, **more: Any) -> Tick:
    """Make a print that arrived `ms` milliseconds after START_NS and was traded at that instant."""
    at_ns = START_NS + round(ms * 1_000_000)
    values = {
        "symbol": SYMBOL,
        "price": float(price),
        "text": price,
        "trade_id": trade_id,
        "sequence": trade_id,
        "size": "1",
        "side": "buy",
        "bid": "",
        "ask": "",
        "venue_time": from_ns(at_ns).isoformat(),
        "received_ns": at_ns,
        **more,
    }
    return Tick(**values)


def changed(watch: Watch, *, ms: float = -1000, live: bool = True, instrument_id: int = 1) -> Changed:
    """Say that a leg made `ms` milliseconds after START_NS was read from the database."""
    since = from_ns(START_NS) + timedelta(milliseconds=ms)
    return Changed(instrument_id, live, since, watch)


def stop(leg_id: int, level: float, sign: int = 1) -> Watch:
    return Watch(leg_id, sign, LegKind.STOP_LOSS, level=level)


def target(leg_id: int, level: float, sign: int = 1) -> Watch:
    return Watch(leg_id, sign, LegKind.TAKE_PROFIT, level=level)


def trailing(leg_id: int, trail: float, peak: float, sign: int = 1, *, rate: bool = False) -> Watch:
    return Watch(leg_id, sign, LegKind.TRAILING_STOP, trail=trail, is_rate=rate, peak=peak, root=leg_id)


def break_even(leg_id: int, level: float, activation: float, sign: int = 1) -> Watch:
    return Watch(leg_id, sign, LegKind.BREAK_EVEN, level=level, activation=activation, root=leg_id)


@dataclass
class Ear:
    """A watcher of one instrument, with everything it emitted."""

    crossings: list[Crossing] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watcher = Watcher(self._take)
        self.tape: Tape = self.watcher.follow(SYMBOL, 1)

    def _take(self, crossings: Sequence[Crossing]) -> None:
        self.crossings += crossings

    @property
    def legs(self) -> list[int]:
        return [crossing.leg_id for crossing in self.crossings]

    def fired(self) -> list[tuple[int, str, int]]:
        """Return leg, price and trade of every crossing so far."""
        return [(crossing.leg_id, crossing.price, crossing.trade_id) for crossing in self.crossings]
