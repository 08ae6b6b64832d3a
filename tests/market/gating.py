"""A gate on its own: prints of a test's venue, a clock that is a number, and a sink that remembers."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apps.market.feeds.base import GateRules
from apps.market.feeds.counters import FeedCounters
from apps.market.feeds.gate import Gate
from tests.market.following import Recorder

START = datetime(2026, 1, 5, 12, 0, 0, tzinfo=UTC)
SECOND = 1_000_000_000
BTC = "BTC-USD"


@dataclass
class Print:
    """One print of the test's venue."""

    trade_id: int
    price: str = "100.00"
    symbol: str = BTC
    sequence: int = 0
    size: str = "1"
    side: str = "buy"
    bid: str = ""
    ask: str = ""
    venue_time: str = ""


class Bench:
    """A gate, its sink, and a clock in seconds since START; the venue's clock runs `ahead` of ours."""

    def __init__(self, *, known: dict[str, int] | None = None, ahead: float = 0.0, **rules: float) -> None:
        self.sink = Recorder()
        self.counters = FeedCounters()
        self.ahead = ahead
        self.now = 0.0
        self.gate = Gate(
            sink=self.sink,
            counters=self.counters,
            rules=GateRules(**rules),
            heartbeat_grace=1.0,
            known_trade_ids=known or {},
        )
        self.gate.follow([BTC])

    def stamp(self, at: float) -> str:
        return (START + timedelta(seconds=at + self.ahead)).isoformat()

    def ns(self) -> int:
        return int((START.timestamp() + self.now) * 1e9)

    def play(self, *items: Print | int, age: float = 0.0, step: float = 0.01) -> list[int]:
        """Feed prints `age` seconds old and return the ids that came out."""
        before = len(self.sink.ticks)
        for item in items:
            self.now += step
            entry = Print(item) if isinstance(item, int) else item
            entry.venue_time = entry.venue_time or self.stamp(self.now - age)
            entry.sequence = entry.sequence or entry.trade_id * 10
            self.gate.take(entry, self.ns())
        return [tick.trade_id for tick in self.sink.ticks[before:]]

    def beat(self, last_trade_id: int, *, after: float = 1.0) -> None:
        self.now += after
        self.gate.heartbeat(BTC, last_trade_id, self.stamp(self.now), self.ns())

    def live(self, first: int = 1) -> "Bench":
        """Bring the gate into the middle of a session: `first` is the last id seen."""
        self.play(first)
        return self
