"""A feed in a thread and everything it said, for tests."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from apps.domain.ticks import Tick
from apps.market.feeds import FEEDS
from apps.market.feeds.base import Feed, FeedConfig, FeedState, FeedStatus, FeedTimings, GateRules
from tests.market.venue import Venue

QUICK = FeedTimings(
    handshake_timeout=0.5,
    stale_after=0.3,
    kill_after=0.6,
    watch_every=0.02,
    backoff_base=0.02,
    backoff_cap=0.1,
    healthy_after=5.0,
    connection_spacing=0.05,
    policy_delay=0.6,
    policy_cap=2.0,
    ack_timeout=0.15,
    ack_cap=0.3,
    frame_spacing=0.005,
    product_timeout=0.5,
    heartbeat_grace=0.1,
    ask_every=0.1,
    mute_after=0.3,
    poll_every=0.02,
)


def wait_for(condition: Callable[[], object], seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.005)


@dataclass
class Recorder:
    """A sink that remembers."""

    ticks: list[Tick] = field(default_factory=list)
    beats: list[tuple[str, int]] = field(default_factory=list)
    gaps: list[tuple[str, int, int]] = field(default_factory=list)
    blinds: list[tuple[str, int, int]] = field(default_factory=list)
    states: list[FeedState] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)

    def tick(self, tick: Tick) -> None:
        self.ticks.append(tick)

    def heard(self, symbol: str, received_ns: int) -> None:
        self.beats.append((symbol, received_ns))

    def gap(self, symbol: str, first_id: int, last_id: int) -> None:
        self.gaps.append((symbol, first_id, last_id))

    def blind(self, symbol: str, since_ns: int, until_ns: int) -> None:
        self.blinds.append((symbol, since_ns, until_ns))

    def state(self, state: FeedState) -> None:
        self.states.append(state)

    def refused(self, symbol: str, reason: str) -> None:
        self.refusals.append((symbol, reason))

    def ids(self, symbol: str = "BTC-USD") -> list[int]:
        return [tick.trade_id for tick in self.ticks if tick.symbol == symbol]

    def reasons(self, status: FeedStatus) -> list[str]:
        return [state.reason for state in self.states if state.status is status]


@contextmanager
def following(
    venue: Venue | str,
    *products: str,
    timings: FeedTimings = QUICK,
    rules: GateRules | None = None,
    name: str = "coinbase",
    rest_url: str = "",
    **config: object,
) -> Iterator[tuple[Feed, Recorder]]:
    """Run a feed against a venue; on leaving it must stop within a second, its threads included."""
    sink = Recorder()
    url = venue if isinstance(venue, str) else venue.url
    settings = FeedConfig(
        ws_url=url,
        rest_url=rest_url,
        products=products or ("BTC-USD",),
        timings=timings,
        rules=rules or GateRules(),
        **config,
    )
    before = set(threading.enumerate())
    feed = FEEDS.get(name)(settings, sink)
    thread = threading.Thread(target=feed.run)
    thread.start()
    try:
        yield feed, sink
    finally:
        feed.stop()
        thread.join(timeout=1.0)
        assert not thread.is_alive(), "the feed did not stop within a second"
    assert not [left for left in set(threading.enumerate()) - before if left.name.startswith("feed-")], (
        "a thread of the feed survived"
    )


def fates(feed: Feed) -> int:
    """The messages that the counters can account for; equals `received`."""
    counters = feed.counters
    return (
        counters.accepted
        + counters.snapshots
        + counters.duplicates
        + counters.out_of_order
        + counters.unknown_product
        + counters.heartbeats
        + counters.acknowledgements
        + counters.errors
        + counters.ignored
        + counters.garbage
        + sum(counters.rejected.values())
    )
