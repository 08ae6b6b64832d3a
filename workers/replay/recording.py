"""What is in a recorded tick file: one JSON object a line, `{"at_ns": ..., "msg": {...}}`, plain or gzipped."""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import msgspec

from apps.domain import feed_rules
from apps.domain.feed_rules import PriceRefused

_GZIP = b"\x1f\x8b"
_LONGEST_LINE = 1 << 20  # bytes


class Unreadable(ValueError):
    """A file cannot be replayed; one sentence says why, and in which line."""


class Message(NamedTuple):
    """One recorded message: when it was received, in nanoseconds since the epoch, and what was received."""

    at_ns: int
    payload: bytes


@dataclass(slots=True, kw_only=True)
class Listing:
    """What a recording says of one product: its first price, and how many decimals prices and sizes have at most."""

    first_price: str
    price_decimals: int = 0
    size_decimals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A whole recording at a glance."""

    messages: int
    seconds: float
    listings: dict[str, Listing] = field(default_factory=dict)


class _Line(msgspec.Struct):
    at_ns: int
    msg: msgspec.Raw


class _Ticker(msgspec.Struct):
    # object: a field of the wrong type is the gate's business, not the reader's
    type: object = ""
    product_id: object = ""
    price: object = ""
    last_size: object = ""


_line = msgspec.json.Decoder(_Line).decode
_ticker = msgspec.json.Decoder(_Ticker).decode


def messages(path: Path) -> Iterator[Message]:
    """Yield every message of a file in its order. Raises Unreadable, naming the line."""
    number = 0
    try:
        with _open(path) as file:
            while text := file.readline(_LONGEST_LINE):
                number += 1
                if not text.isspace():
                    yield _message(path, number, text)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise Unreadable(f"{path}, line {number + 1}: the compressed file is damaged or cut short here.") from None
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror or error}.") from None


def survey(path: Path) -> Survey:
    """Read a whole file once and return what it holds. Raises Unreadable, also when there is nothing to replay."""
    listings: dict[str, Listing] = {}
    count, first, last = 0, 0, 0
    for message in messages(path):
        count, first, last = count + 1, first or message.at_ns, message.at_ns
        _note(listings, _ticker(message.payload))
    if not count:
        raise Unreadable(f"{path} is empty: nothing to replay.")
    if not listings:
        raise Unreadable(f"{path} holds no ticker with a price: nothing to replay.")
    return Survey(messages=count, seconds=round((last - first) / 1e9, 3), listings=listings)


def _open(path: Path) -> gzip.GzipFile | BufferedReader:
    with path.open("rb") as file:
        compressed = file.read(2) == _GZIP
    return gzip.GzipFile(path) if compressed else path.open("rb")


def _message(path: Path, number: int, text: bytes) -> Message:
    try:
        line = _line(text)
        payload = bytes(line.msg)
        _ticker(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        wanted = 'wanted {"at_ns": nanoseconds, "msg": {...}}'
        raise Unreadable(f"{path}, line {number}: not a recorded tick ({error}); {wanted}.") from None
    return Message(line.at_ns, payload)


def _note(listings: dict[str, Listing], ticker: _Ticker) -> None:
    symbol, price, size = ticker.product_id, ticker.price, ticker.last_size
    if ticker.type != "ticker" or not (isinstance(symbol, str) and isinstance(price, str)) or not _is_price(price):
        return
    listing = listings.setdefault(symbol, Listing(first_price=price))
    listing.price_decimals = max(listing.price_decimals, _decimals(price))
    if isinstance(size, str) and feed_rules.is_size(size):
        listing.size_decimals = max(listing.size_decimals, _decimals(size))


def _is_price(text: str) -> bool:
    try:
        return feed_rules.read_price(text) > 0
    except PriceRefused:
        return False


def _decimals(text: str) -> int:
    return min(len(text.partition(".")[2]), feed_rules.MAX_DECIMALS)
