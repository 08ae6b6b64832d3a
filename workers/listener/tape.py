"""What the listener keeps of one instrument: its levels, its latest ticks, and when its feed was last heard."""

from collections import deque
from datetime import UTC, datetime, timedelta

from apps.domain.book import Book
from apps.domain.ticks import Tick

# Ticks kept for levels that arrive late, for the quote and for the tick store: at 10,000 ticks per second of one
# instrument still 400 ms, while a level arrives within some 20 ms and the quote leaves every 250 ms.
RING = 4096
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Tape:
    """One instrument as the receive thread sees it. The ring is appended to without a lock, the book needs one."""

    __slots__ = (
        "book",
        "gap_at",
        "gap_from",
        "has_two",
        "heard_ns",
        "instrument_id",
        "jump_band",
        "late",
        "looked_at",
        "numbered",
        "refilled",
        "ring",
        "skew",
        "source",
        "symbol",
    )

    def __init__(self, symbol: str, instrument_id: int) -> None:
        self.symbol = symbol
        self.instrument_id = instrument_id
        self.book = Book()
        self.ring: deque[Tick] = deque(maxlen=RING)
        self.late: deque[Tick] = deque(maxlen=RING)  # the newest late trades, for levels that arrive late too
        self.refilled: deque[Tick] = deque(maxlen=100_000)  # late trades waiting for the tick store
        self.looked_at: Tick | None = None  # the newest tick whose crossings are all with the emitter
        self.heard_ns = 0
        self.jump_band = 0.2  # how wide a single step may be without confirmation, as a rate
        self.source = ""  # the feed whose prices count
        self.has_two = False  # there is another feed to fall back to
        self.numbered = True  # trade ids rise by one: they give order and tell what is missing
        self.gap_from = 0  # the first missing trade that is being fetched, 0 for none ...
        self.gap_at = 0.0  # ... and when the last one was found missing (monotonic seconds)
        self.skew = timedelta(0)  # our clock minus the venue's, as the fastest recent tick says

    def last(self) -> Tick | None:
        """Return the newest tick."""
        return self.ring[-1] if self.ring else None

    def is_newer(self, tick: Tick, than: Tick) -> bool:
        """Say whether one tick is later in the market than another: by number, or by time where numbers say nothing."""
        if self.numbered:
            return tick.trade_id > than.trade_id
        return tick.venue_time > than.venue_time

    def complete_through(self, tick: Tick) -> int:
        """Return up to which trade nothing is missing: what a restart asks the venue for begins after it."""
        return min(tick.trade_id, self.gap_from - 1) if self.gap_from else tick.trade_id

    def newer_than(self, seen: Tick | None) -> list[Tick]:
        """Return the ticks after `seen`, oldest first; as many as the ring still has."""
        fresh: list[Tick] = []
        for tick in reversed(list(self.ring)):
            if tick is seen:
                break
            fresh.append(tick)
        fresh.reverse()
        return fresh

    def since(self, at: datetime) -> list[Tick]:
        """Return the ticks at which the market was at or after an instant, late ones in their place, oldest first."""
        limit = (at - _EPOCH) // timedelta(microseconds=1) * 1000
        fresh: list[Tick] = []
        for tick in reversed(list(self.ring)):
            if tick.received_ns < limit:
                break
            if not tick.refilled or self.market_time(tick) >= at:
                fresh.append(tick)
        fresh.reverse()
        late = [tick for tick in list(self.late) if self.market_time(tick) >= at]
        return sorted([*late, *fresh], key=_trade_id if self.numbered else _venue_time) if late else fresh

    def market_time(self, tick: Tick) -> datetime:
        """Return when the market was at this price by our clock: on arrival, or for a late trade when it was traded."""
        if tick.refilled and tick.venue_time:
            return datetime.fromisoformat(tick.venue_time) + self.skew
        return from_ns(tick.received_ns)


def _trade_id(tick: Tick) -> int:
    return tick.trade_id


def _venue_time(tick: Tick) -> str:
    return tick.venue_time


def traded_at(tick: Tick) -> datetime:
    """Return when a tick was traded by the venue's clock, or when it arrived where the venue tells no time."""
    if tick.venue_time:
        return datetime.fromisoformat(tick.venue_time).astimezone(UTC)
    return from_ns(tick.received_ns)


def from_ns(nanoseconds: int) -> datetime:
    """Return nanoseconds since the epoch as an instant, to the microsecond."""
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC) + timedelta(
        microseconds=nanoseconds % 1_000_000_000 // 1000
    )
