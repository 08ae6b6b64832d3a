"""What the listener keeps of one instrument: its levels, its latest ticks, and when its feed was last heard."""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from apps.domain.book import Book
from apps.domain.ticks import Tick

# Ticks kept for levels that arrive late, for the quote and for the tick store: at 10,000 ticks per second of one
# instrument still 400 ms, while a level arrives within some 20 ms and the quote leaves every 250 ms.
RING = 4096
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Tape:
    """One instrument as the receive thread sees it. The ring is appended to without a lock, the book needs one."""

    __slots__ = ("book", "heard_ns", "instrument_id", "looked_at", "refilled", "ring", "skew", "symbol")

    def __init__(self, symbol: str, instrument_id: int) -> None:
        self.symbol = symbol
        self.instrument_id = instrument_id
        self.book = Book()
        self.ring: deque[Tick] = deque(maxlen=RING)
        self.refilled: deque[Tick] = deque(maxlen=100_000)  # late trades waiting for the tick store
        self.looked_at: Tick | None = None  # the newest tick whose crossings are all with the emitter
        self.heard_ns = 0
        self.skew = timedelta(0)  # our clock minus the venue's, as the fastest recent tick says

    def last(self) -> Tick | None:
        """Return the newest tick."""
        return self.ring[-1] if self.ring else None

    def newer_than(self, seen: Tick | None) -> list[Tick]:
        """Return the ticks after `seen`, oldest first; as many as the ring still has."""
        fresh: list[Tick] = []
        for tick in reversed(list(self.ring)):
            if tick is seen:
                break
            fresh.append(tick)
        fresh.reverse()
        return fresh

    def since(self, at: datetime) -> Iterator[Tick]:
        """Yield the ticks received at or after an instant, oldest first."""
        limit = (at - _EPOCH) // timedelta(microseconds=1) * 1000
        fresh = []
        for tick in reversed(list(self.ring)):
            if tick.received_ns < limit:
                break
            fresh.append(tick)
        return reversed(fresh)

    def market_time(self, tick: Tick) -> datetime:
        """Return when the market was at this price by our clock: on arrival, or for a late trade when it was traded."""
        if tick.refilled and tick.venue_time:
            return datetime.fromisoformat(tick.venue_time) + self.skew
        return from_ns(tick.received_ns)


def from_ns(nanoseconds: int) -> datetime:
    """Return nanoseconds since the epoch as an instant, to the microsecond."""
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC) + timedelta(
        microseconds=nanoseconds % 1_000_000_000 // 1000
    )
