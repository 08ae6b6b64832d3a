"""What every feed is to the rest of the product: prices, signs of life, gaps and its own state, told to a sink."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Protocol

from apps.domain.ticks import Tick
from apps.market.feeds.candles import VenueCandle
from apps.market.feeds.counters import FeedCounters


class FeedStatus(StrEnum):
    """How far the prices of a feed can be relied on."""

    CONNECTING = "connecting"  # a session is being opened
    LIVE = "live"  # messages arrive; a product without trades is merely quiet
    STALE = "stale"  # connected, but silent for longer than the heartbeat allows
    DOWN = "down"  # no session; the next attempt is due


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """One change of a feed's status, with the reason in one word and the number of the session it is about."""

    status: FeedStatus
    reason: str
    session: int
    at_ns: int  # wall clock, nanoseconds since the epoch


class Numbering(StrEnum):
    """What the trade ids of a feed say, and so what a jump between two of them means."""

    CONSECUTIVE = "consecutive"  # they rise by one per product: order, duplicates and holes are read from them
    IDENTITY = "identity"  # they tell two trades apart, no more: order is read from the venue's time
    NONE = "none"  # always 0: order and duplicates are read from time, sequence and content


class FeedSink(Protocol):
    """Who listens to a feed. Called from the feed's threads, so every method must return at once."""

    def tick(self, tick: Tick) -> None:
        """Take one accepted print; called in the receive thread, in the order of trade ids per product."""

    def heard(self, symbol: str, received_ns: int) -> None:
        """Note that the feed of this product is alive, whether or not the market trades."""

    def gap(self, symbol: str, first_id: int, last_id: int) -> None:
        """Note that the trades with these ids, both ends included, did not arrive."""

    def blind(self, symbol: str, since_ns: int, until_ns: int) -> None:
        """Note that nothing was heard between these instants (wall clock), and no numbering tells what was missed."""

    def state(self, state: FeedState) -> None:
        """Note a change of the feed's status."""

    def refused(self, symbol: str, reason: str) -> None:
        """Note that the venue does not deliver this product; the others go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedTimings:
    """Every span of time a feed waits, in seconds."""

    handshake_timeout: float = 10.0  # from dialling to the end of the upgrade
    stale_after: float = 5.0  # without one readable message
    kill_after: float = 10.0  # the same, until the session is given up
    watch_every: float = 0.1
    backoff_base: float = 0.5
    backoff_factor: float = 2.0
    backoff_cap: float = 30.0
    healthy_after: float = 30.0  # of data, until the backoff starts over
    connection_spacing: float = 1.0  # between two attempts that failed soon
    policy_delay: float = 30.0  # after the venue told us to go away (1008, 403, 429)
    policy_cap: float = 300.0
    ack_timeout: float = 3.0  # until a subscription without answer is sent again
    ack_cap: float = 30.0
    frame_spacing: float = 0.05  # between two of our messages; a venue that allows fewer says so itself
    ask_every: float = 2.0  # where the venue has no heartbeat: between two questions for a sign of life
    mute_after: float = 60.0  # without any message of one confirmed product, until somebody is told
    poll_every: float = 1.0  # where the venue is asked, not listened to: between two rounds
    product_timeout: float = 15.0  # without a heartbeat of one product while others have theirs
    heartbeat_grace: float = 1.0  # that a ticker may lag behind the heartbeat that announces it


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRules:
    """How far a print may be from what is known, as rates (0.2 is 20 %)."""

    jump_band: float = 0.20  # a single step beyond this is not believed ...
    jump_prints: int = 3  # ... until so many prints in a row agree with each other
    mark_band: float = 0.01  # beyond this from the market a print moves no trailing mark
    mark_prints: int = 5  # the market is the median of so many prints
    max_age: float = 2.0  # seconds that the first print after a subscribe may be old to count as news
    restart_prints: int = 3  # newer prints under older numbers that prove a restarted numbering


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedConfig:
    """What a feed is told: addresses, products, the last trade ids known from before, credentials, and its rules.

    `options` are the plug-in's own settings by name; each plug-in lists its own in `Feed.options`.
    """

    ws_url: str
    rest_url: str
    products: tuple[str, ...] = ()
    known_trade_ids: Mapping[str, int] = field(default_factory=dict)
    timings: FeedTimings = field(default_factory=FeedTimings)
    rules: GateRules = field(default_factory=GateRules)
    batch: int = 100  # products per subscribe message
    max_message_bytes: int = 16 << 20
    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueProduct:
    """One product as the venue lists it; increments as the venue's own texts, "" where it states none."""

    symbol: str
    base: str
    quote: str
    price_increment: str
    size_increment: str
    min_notional: str
    is_trading: bool
    status: str


class VenueRest(Protocol):
    """What a venue answers by REST. Every method raises FeedUnavailable."""

    def products(self) -> list[VenueProduct]:
        """Return the products the venue lists."""

    def ticker(self, symbol: str) -> Tick:
        """Return the last trade of a product, marked as refilled."""

    def trades(self, symbol: str, first_id: int, last_id: int) -> list[Tick]:
        """Return the trades with these ids that the venue has, oldest first, marked as refilled."""

    def candles(self, symbol: str, granularity: int, since: datetime, until: datetime) -> list[VenueCandle]:
        """Return the candles that open within [since, until), oldest first; `granularity` is in seconds."""

    def time(self) -> datetime:
        """Return the venue's clock."""

    def close(self) -> None:
        """Let go of the connections."""


class Feed(ABC):
    """A venue's live prices. A plug-in is a subclass with a `name`, alone in its file."""

    name: ClassVar[str]
    title: ClassVar[str] = ""  # the venue's name for people
    ws_url: ClassVar[str] = ""  # where the venue is found unless the operator says otherwise
    rest_url: ClassVar[str] = ""
    numbering: ClassVar[Numbering] = Numbering.CONSECUTIVE
    timings: ClassVar[FeedTimings] = FeedTimings()
    options: ClassVar[Mapping[str, str]] = {}  # the plug-in's own settings: name -> one sentence
    needs_key: ClassVar[bool] = False
    max_sessions: ClassVar[int] = 0  # how many connections the venue grants one account, 0 for as many as we need

    def __init__(self, config: FeedConfig, sink: FeedSink) -> None:
        self.config = config
        self.sink = sink
        self.counters = FeedCounters()

    @abstractmethod
    def run(self) -> None:
        """Receive in the calling thread until `stop`; every loss of the connection is mended inside."""

    @abstractmethod
    def stop(self) -> None:
        """End `run` from any thread, within a second."""

    @abstractmethod
    def add_products(self, symbols: Iterable[str]) -> None:
        """Follow more products, from any thread, at once when connected."""

    @abstractmethod
    def remove_products(self, symbols: Iterable[str]) -> None:
        """Stop following products, from any thread."""

    @abstractmethod
    def know(self, trade_ids: Mapping[str, int]) -> None:
        """Take the last trade ids known of products before they are added: what was traded since is declared a gap."""

    @abstractmethod
    def set_jump_band(self, symbol: str, rate: float) -> None:
        """Let a single step of a product be as wide as `rate` (0.2 is 20 %) without confirmation, from any thread."""

    @abstractmethod
    def products(self) -> frozenset[str]:
        """Return the products that are followed, refused ones included."""

    @abstractmethod
    def state(self) -> FeedState:
        """Return the present status."""

    @abstractmethod
    def last_trade_id(self, symbol: str) -> int:
        """Return the newest trade id seen of a product, 0 when none."""

    @abstractmethod
    def last_price(self, symbol: str) -> float:
        """Return the last believed price of a product, 0 when none."""

    @abstractmethod
    def rest(self) -> VenueRest:
        """Return a new client of the venue's REST interface; the caller closes it."""
