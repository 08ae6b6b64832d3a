"""Recorded ticks as a market: files of `{"at_ns": ..., "msg": {ticker}}`, one a line, plain or gzipped."""

import gzip
import io
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from apps.simulator.products import PRODUCT_ID, positive_decimal

GZIP_MAGIC = b"\x1f\x8b"


class Ticker(msgspec.Struct):
    """The fields of a recorded ticker that matter for a replay."""

    type: str
    product_id: str
    price: str
    trade_id: int
    sequence: int = 0
    side: str = "buy"
    last_size: str = "0"
    best_bid: str = "0"
    best_bid_size: str = "0.00000000"
    best_ask: str = "0"
    best_ask_size: str = "0.00000000"


class Line(msgspec.Struct):
    """One line of a recording; `at_ns` is when it was received."""

    at_ns: int
    msg: Ticker


class _Kind(msgspec.Struct):
    type: str = ""


class _AnyLine(msgspec.Struct):
    msg: _Kind


@dataclass(slots=True)
class Track:
    """What a recording holds of one product."""

    product_id: str
    first_price: str
    first_id: int
    last_id: int
    first_sequence: int
    last_sequence: int
    ticks: int = 0

    def count(self, ticker: Ticker) -> None:
        self.first_id = min(self.first_id, ticker.trade_id)
        self.last_id = max(self.last_id, ticker.trade_id)
        self.first_sequence = min(self.first_sequence, ticker.sequence)
        self.last_sequence = max(self.last_sequence, ticker.sequence)
        self.ticks += 1


@dataclass(frozen=True, slots=True)
class Recording:
    """A checked file: every line was read once."""

    path: Path
    tracks: tuple[Track, ...]
    ticks: int

    def __iter__(self) -> Iterator[Line]:
        """The tickers in file order."""
        return _lines(self.path)


def open_recording(path: Path) -> Recording:
    """Read the whole file once; raises ValueError with one sentence naming file, line and what is wrong."""
    tracks: dict[str, Track] = {}
    ticks = 0
    for line in _lines(path):
        ticks += 1
        track = tracks.get(line.msg.product_id)
        if track is None:
            track = tracks[line.msg.product_id] = _new_track(path, line.msg)
        track.count(line.msg)
        _check_numbers(path, ticks, line.msg)
    if not tracks:
        raise ValueError(f"replay {path}: the file holds no ticker")
    return Recording(path, tuple(tracks.values()), ticks)


def _new_track(path: Path, ticker: Ticker) -> Track:
    if not PRODUCT_ID.fullmatch(ticker.product_id):
        raise ValueError(f"replay {path}: {ticker.product_id!r} is not a product id like BTC-USD")
    positive_decimal(ticker.price, f"replay {path}: the first price of {ticker.product_id}")
    first, sequence = ticker.trade_id, ticker.sequence
    return Track(ticker.product_id, ticker.price, first, first, sequence, sequence)


def _check_numbers(path: Path, place: int, ticker: Ticker) -> None:
    try:
        fine = 0 < float(ticker.price) < math.inf and 0 <= float(ticker.last_size) < math.inf
    except ValueError:
        fine = False
    if not fine:
        raise ValueError(f"replay {path}: ticker {place} has price {ticker.price!r} and size {ticker.last_size!r}")


def _lines(path: Path) -> Iterator[Line]:
    decoder, kind = msgspec.json.Decoder(Line), msgspec.json.Decoder(_AnyLine)
    number = 0
    try:
        with _open(path) as stream:
            for raw in stream:
                number += 1
                if raw.isspace() or kind.decode(raw).msg.type != "ticker":
                    continue
                yield decoder.decode(raw)
    except OSError as error:
        raise ValueError(f"replay {path}: {error.strerror or 'not a readable gzip file'}") from None
    except (EOFError, zlib.error):
        raise ValueError(f"replay {path}: the gzip file is damaged after line {number}") from None
    except msgspec.MsgspecError as error:
        raise ValueError(f'replay {path}: line {number} is not {{"at_ns": ..., "msg": {{ticker}}}} ({error})') from None
    except UnicodeDecodeError:
        raise ValueError(f"replay {path}: line {number} is not UTF-8 text") from None


def _open(path: Path) -> gzip.GzipFile | io.BufferedReader:
    with path.open("rb") as stream:
        packed = stream.read(2) == GZIP_MAGIC
    return gzip.open(path, "rb") if packed else path.open("rb")
