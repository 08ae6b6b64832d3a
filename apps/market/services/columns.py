"""How do other programs name and write the columns of candles and ticks? Read tolerantly, and refused with a reason."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation

from apps.domain.errors import Problem

# Our name -> what others call it, in lower case and without signs.
CANDLES: Mapping[str, tuple[str, ...]] = {
    "at": ("at", "time", "timestamp", "date", "datetime", "start", "opentime", "opened", "openedat", "ts", "t"),
    "open": ("open", "o", "openprice", "first"),
    "high": ("high", "h", "highprice", "max"),
    "low": ("low", "l", "lowprice", "min"),
    "close": ("close", "c", "closeprice", "last"),
    "volume": ("volume", "v", "vol", "basevolume", "amount"),
    "trades": ("trades", "n", "count", "numberoftrades", "tradecount", "numtrades"),
}
TICKS: Mapping[str, tuple[str, ...]] = {
    "at": ("at", "time", "timestamp", "date", "datetime", "ts", "t"),
    "trade_id": ("tradeid", "id", "trade", "aggtradeid"),
    "price": ("price", "p", "rate"),
    "size": ("size", "quantity", "qty", "q", "amount", "volume", "lastsize"),
    "side": ("side", "takerside", "direction"),
    "bid": ("bid", "bestbid", "bidprice", "b"),
    "ask": ("ask", "bestask", "askprice", "a"),
}
OPTIONAL = frozenset({"trades", "volume", "trade_id", "size", "side", "bid", "ask"})

_SIGNS = re.compile(r"[^a-z0-9]+")
_WHOLE = re.compile(r"-?[0-9]{1,20}(\.[0-9]+)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Seconds until the year 5138, then milliseconds, microseconds, nanoseconds: the same instants in finer units.
_UNITS = ((10**11, 1), (10**14, 10**3), (10**17, 10**6), (10**20, 10**9))
_LIMIT = Decimal(10) ** 24
_FINEST = Decimal(1).scaleb(-60)


class Unfit(ValueError):
    """One value that cannot be what its column says; carries the rule."""


def named(header: Iterable[str], known: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Return our name for each column that is known: {their name: our name}. Raises Unfit naming what is missing."""
    found: dict[str, str] = {}
    for column in header:
        plain = _SIGNS.sub("", column.lower().lstrip("\ufeff"))
        ours = next((name for name, others in known.items() if plain in others), None)
        if ours is not None and ours not in found.values():
            found[column] = ours
    missing = [name for name in known if name not in OPTIONAL and name not in found.values()]
    if missing:
        raise Unfit(f"there is no column for {', '.join(missing)}; the file has {', '.join(header) or 'none'}")
    return found


def instant(value: object, zone: tzinfo | None = None) -> datetime:
    """Return a time: ISO with an offset, or a number since 1970 in seconds, milli-, micro- or nanoseconds.

    A time without an offset is in `zone`. Raises Unfit, also for such a time when there is no `zone`.
    """
    if isinstance(value, datetime):
        return _in_utc(value, zone)
    text = str(value).strip()
    if _WHOLE.fullmatch(text):
        return _since_epoch(Decimal(text))
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Unfit(f"{text[:40]!r} is no instant like 2026-01-31T00:00:00Z or 1769817600") from None
    return _in_utc(found, zone)


def number(value: object) -> Decimal:
    """Return a number exactly as it is written; a float as the shortest text that means it. Raises Unfit."""
    try:
        found = value if isinstance(value, Decimal) else Decimal(str(value).strip())
    except InvalidOperation:
        raise Unfit(f"{str(value)[:40]!r} is no number") from None
    exponent = found.as_tuple().exponent
    if not found.is_finite() or abs(found) >= _LIMIT or (isinstance(exponent, int) and exponent < -60):
        raise Unfit(f"{str(value)[:40]!r} is no number that a market prints")
    return found


def price(value: object) -> Decimal:
    """Return a number above zero. Raises Unfit."""
    found = number(value)
    if found <= 0:
        raise Unfit(f"{found} must be above zero")
    return found


def amount(value: object) -> Decimal:
    """Return a number that is not below zero. Raises Unfit."""
    found = number(value)
    if found < 0:
        raise Unfit(f"{found} must not be below zero")
    return found


def whole(value: object) -> int:
    """Return a whole number that is not below zero. Raises Unfit."""
    found = amount(value)
    if found != found.to_integral_value() or found >= 2**63:
        raise Unfit(f"{found} must be a whole number")
    return int(found)


def problem(line: int, field: str, error: Unfit) -> Problem:
    """Return what is wrong with one line of a file, in the words of the product."""
    return Problem(field=f"line {line}", value=field, rule=str(error), remedy="mend the line; nothing was stored")


def _since_epoch(count: Decimal) -> datetime:
    unit = next((unit for limit, unit in _UNITS if abs(count) < limit), 0)
    if not unit:
        raise Unfit(f"{count} is no time since 1970 in any unit")
    try:
        return _EPOCH + timedelta(microseconds=int(count * 10**6 / unit))
    except OverflowError:
        raise Unfit(f"{count} is no time since 1970 in any unit") from None


def _in_utc(value: datetime, zone: tzinfo | None) -> datetime:
    if value.tzinfo is None:
        if zone is None:
            raise Unfit(f"{value.isoformat()} has no offset from UTC; --utc says that such times are UTC")
        value = value.replace(tzinfo=zone)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise Unfit(f"{value.isoformat()} is outside of all calendars") from None
