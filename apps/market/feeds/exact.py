"""How do a venue's numbers and instants become text without loss? Digit by digit, never through a float."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache

import msgspec

NOTHING = msgspec.Raw(b"")
_LONGEST = 40  # characters of a number that anybody could mean


def number(raw: msgspec.Raw) -> str:
    """Return the digits of a JSON number as they were sent; an exponent is written out, a quoted number unwrapped.

    Whatever else it is comes back as it is, for the gate to refuse.
    """
    text = bytes(raw).decode("utf-8", "replace")
    if text[:1] == '"':
        text = text[1:-1]
    return plain(text) if "e" in text or "E" in text else text


def plain(text: str) -> str:
    """Return a number in plain digits: 1e-7 as 0.0000001; anything else as it is."""
    if len(text) > _LONGEST:
        return text
    try:
        value = Decimal(text)
    except InvalidOperation:
        return text
    exponent = value.as_tuple().exponent
    return format(value, "f") if isinstance(exponent, int) and abs(exponent) < _LONGEST else text


def iso_of_ms(milliseconds: int) -> str:
    """Return milliseconds since the epoch as ISO 8601 text, "" for what is no time of this age."""
    if not 0 < milliseconds < 1 << 43:
        return ""
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


def iso_of_ns(nanoseconds: int) -> str:
    """Return nanoseconds since the epoch as ISO 8601 text, to the microsecond, "" for what is no time of this age."""
    if not 0 < nanoseconds < 1 << 63:
        return ""
    return f"{_second(nanoseconds // 1_000_000_000)}.{nanoseconds % 1_000_000_000 // 1000:06d}Z"


def iso_of_number(text: str) -> str:
    """Return an epoch time as ISO 8601 text; whether it counts s, ms, us or ns is told by its size. "" for no time."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return ""
    if not value.is_finite() or value <= 0:
        return ""
    for unit in (1_000_000_000, 1_000_000, 1_000, 1):
        if value * unit < 10**19:  # the year 2286 in nanoseconds: the coarsest unit that fits
            return iso_of_ns(int(value * unit)) if value * unit >= 10**17 else ""
    return ""


def instant_of(text: str) -> datetime:
    """Return an ISO 8601 text with an offset as an instant in UTC. Raises ValueError."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text[:40]!r} has no offset")
    return instant.astimezone(UTC)


def ns_of(instant: datetime) -> int:
    """Return an instant as nanoseconds since the epoch, exact to the microsecond."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
