"""What a feed has counted since it started: plain numbers, written by the feed, read by anybody."""

from collections import Counter, deque
from dataclasses import dataclass, field

KEPT_SAMPLES = 20
SAMPLE_BYTES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The beginning of a message that could not be used, kept for a person to look at."""

    received_ns: int
    reason: str
    start: bytes


@dataclass(slots=True, kw_only=True)
class FeedCounters:
    """Messages by fate. Every message received ends in exactly one of the fates below it."""

    received: int = 0
    accepted: int = 0  # prints handed on as news
    snapshots: int = 0  # old prints handed on for display only
    duplicates: int = 0  # trade id already seen, or older than one already seen
    out_of_order: int = 0  # newer trade id under an older sequence number
    unknown_product: int = 0  # a product nobody asked for
    heartbeats: int = 0
    acknowledgements: int = 0
    errors: int = 0  # the venue's own error messages
    ignored: int = 0  # message types we do not know, which the venue may add at any time
    garbage: int = 0  # not readable
    rejected: Counter[str] = field(default_factory=Counter)  # prints not believed, by reason

    gaps: int = 0  # ranges of trade ids that did not arrive
    missing: int = 0  # trade ids in those ranges
    off_market: int = 0  # accepted prints too lonely to move a trailing mark
    bad_quotes: int = 0  # accepted prints whose bid and ask were no market
    bad_sizes: int = 0  # accepted prints whose size was no quantity
    restarts: int = 0  # times the venue began its numbering anew
    sessions: int = 0
    reconnects: Counter[str] = field(default_factory=Counter)  # lost sessions, by reason
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=KEPT_SAMPLES))

    def understood(self) -> int:
        """Return how many messages made sense: the sign of life that the watchdog looks at."""
        return self.received - self.garbage

    def quarantine(self, payload: bytes, *, reason: str, received_ns: int) -> None:
        """Count a message that cannot be used and keep its beginning."""
        self.garbage += 1
        self.samples.append(Sample(received_ns=received_ns, reason=reason, start=payload[:SAMPLE_BYTES]))
