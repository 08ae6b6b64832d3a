"""How are prices received from a recorded tick file? As if they came now: one JSON object a line, plain or gzipped.

A line is `{"at_ns": ..., "msg": {...}}`: when it was received, and a Coinbase Exchange `ticker` message.
"""

import gzip
import logging
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Annotated, ClassVar, cast

import msgspec

from apps.domain import feed_rules
from apps.market.feeds.base import FeedConfig, FeedSink, FeedState, FeedStatus, VenueRest
from apps.market.feeds.exact import iso_of_ns
from apps.market.feeds.gated import GatedFeed, Trade
from apps.market.feeds.no_rest import NoRest

log = logging.getLogger(__name__)

_GZIP = b"\x1f\x8b"
_LONGEST_LINE = 1 << 20  # bytes
_HEARD_EVERY = 1.0
_NS = 1_000_000_000
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_YES = frozenset({"yes", "true", "1", "on"})

_Id = Annotated[int, msgspec.Meta(ge=1, le=2**62)]


class _Ticker(msgspec.Struct, gc=False):
    product_id: str
    price: str
    trade_id: _Id
    last_size: str = "0"
    side: str = ""
    best_bid: str = ""
    best_ask: str = ""
    time: str = ""


class _Line(msgspec.Struct, gc=False):
    at_ns: int
    msg: _Ticker


_decode = msgspec.json.Decoder(_Line).decode


class FileFeed(GatedFeed):
    """A recorded file as a feed: at its own pace, faster, or again and again."""

    name = "file"
    title = "a recorded tick file"
    options: ClassVar[Mapping[str, str]] = {
        "path": "The file: jsonl or jsonl.gz.",
        "speed": "1 (default) is the recorded pace, 10 is ten times as fast, 0 is as fast as it goes.",
        "loop": "yes: begin again at the end, with numbers and times that go on rising.",
        "rebase": "yes (default): the prints carry times of now; no: the recorded ones.",
    }

    def __init__(self, config: FeedConfig, sink: FeedSink) -> None:
        super().__init__(config, sink)
        self._path = Path(config.options.get("path", ""))
        self._speed = float(config.options.get("speed", "1"))
        self._loops = config.options.get("loop", "no").lower() in _YES
        self._rebases = config.options.get("rebase", "yes").lower() in _YES
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._wanted: set[str] = set()
        self._seen: dict[str, tuple[int, int]] = {}  # product -> first and last id of the file
        self._round = 0
        self._heard_at = 0.0
        self._state = FeedState(status=FeedStatus.DOWN, reason="not started", session=0, at_ns=time.time_ns())
        self.add_products(config.products)

    def stop(self) -> None:
        """End `run` from any thread, within a second."""
        self._stopping.set()

    def add_products(self, symbols: Iterable[str]) -> None:
        """Let more products of the file through."""
        chosen = list(symbols)
        self._gate.follow(chosen)
        with self._lock:
            self._wanted.update(chosen)

    def remove_products(self, symbols: Iterable[str]) -> None:
        """Let these products through no more."""
        chosen = list(symbols)
        with self._lock:
            self._wanted.difference_update(chosen)
        self._gate.forget(chosen)

    def products(self) -> frozenset[str]:
        """Return the products that are followed."""
        with self._lock:
            return frozenset(self._wanted)

    def state(self) -> FeedState:
        """Return the present status."""
        return self._state

    def rest(self) -> VenueRest:
        """Return a client that has nothing to tell; the caller closes it."""
        return NoRest("a file")

    def run(self) -> None:
        """Play the file until its end, then wait for `stop`."""
        reason = "stopped"
        while not self._stopping.is_set():
            reason = self._play()
            if reason or not self._loops:
                break
        if not self._stopping.is_set():
            self._change(FeedStatus.DOWN, reason or "the file is at its end")
            log.info("%s: %s", self._path, reason or "at its end")
            self._stopping.wait()
        self._change(FeedStatus.DOWN, "stopped")

    def _play(self) -> str:
        """Play the file once and return why it ended early, "" when it did not."""
        self._round += 1
        self.counters.sessions += 1
        self._change(FeedStatus.CONNECTING, "opening")
        try:
            with _opened(self._path) as file:
                self._lines(_lines_of(file))
        except (OSError, EOFError, zlib.error) as error:
            return f"the file cannot be read: {error}"[:200]
        return "" if self.counters.accepted or self.counters.snapshots else "the file holds no price of these products"

    def _lines(self, lines: Iterator[bytes]) -> None:
        began, first_ns = time.monotonic(), 0
        for line in lines:
            received_ns = time.time_ns()
            self.counters.received += 1
            try:
                entry = _decode(line)
            except _UNREADABLE as error:
                self.counters.quarantine(line, reason=str(error)[:120], received_ns=received_ns)
                continue
            first_ns = first_ns or entry.at_ns
            if self._speed > 0:
                self._pause(began + (entry.at_ns - first_ns) / _NS / self._speed)
            if self._stopping.is_set():
                self.counters.received -= 1  # it was read, and is not played
                return
            self._take(entry)

    def _take(self, entry: _Line) -> None:
        received_ns, message = time.time_ns(), entry.msg
        first_id, last_id = self._seen.get(message.product_id, (message.trade_id, message.trade_id))
        if self._round == 1:
            self._seen[message.product_id] = first_id, max(last_id, message.trade_id)
        self._gate.take(
            Trade(
                message.product_id,
                message.price,
                message.trade_id + (self._round - 1) * (last_id - first_id + 1),
                0,
                message.last_size,
                message.side,
                message.best_bid,
                message.best_ask,
                self._time(message.time, entry.at_ns, received_ns),
            ),
            received_ns,
        )
        if self._state.status is not FeedStatus.LIVE:
            self._change(FeedStatus.LIVE, "data")
        self._beat()

    def _time(self, recorded: str, at_ns: int, received_ns: int) -> str:
        """Return a print's time, moved so that it is as old now as it was when it was recorded."""
        venue_ns = feed_rules.instant_ns(recorded) if self._rebases else None
        return recorded if venue_ns is None else iso_of_ns(received_ns + venue_ns - at_ns)

    def _pause(self, until: float) -> None:
        while not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
            self._stopping.wait(min(left, _HEARD_EVERY))
            self._beat()

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._heard_at >= _HEARD_EVERY:
            self._heard_at = now
            self._hear(self.products(), time.time_ns())

    def _change(self, status: FeedStatus, reason: str) -> None:
        self._state = FeedState(status=status, reason=reason, session=self._round, at_ns=time.time_ns())
        self.sink.state(self._state)


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        is_zipped = file.read(2) == _GZIP
    return cast(IO[bytes], gzip.open(path, "rb")) if is_zipped else path.open("rb")


def _lines_of(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(_LONGEST_LINE):
        if bare := line.strip():
            yield bare
