"""Which numbers of a venue are believed, and which prints are too far from the market to move a trailing mark."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from math import inf

MAX_DIGITS = 15  # a float holds 15 significant digits exactly, so price and text never differ
MAX_DECIMALS = 12  # what the money columns hold
CEILING = 1e15
LONGEST = 48  # characters; padding zeros are allowed up to here

_PLAIN = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)
_SHORT = MAX_DECIMALS + 2
_is_plain = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII).fullmatch
_SPECIAL = frozenset({"nan", "inf", "infinity"})


class Fault(StrEnum):
    """Why a number of the venue was not believed."""

    MALFORMED = "malformed"  # not plain ASCII digits with at most one point
    NOT_FINITE = "not_finite"  # NaN or an infinity
    EXPONENT = "exponent"  # 1e5: digits are what we store, so digits are what we take
    NEGATIVE = "negative"
    ZERO = "zero"
    TOO_PRECISE = "too_precise"  # more digits than price and text can carry alike
    TOO_LARGE = "too_large"
    JUMP = "jump"  # beyond the band around the last believed price


class PriceRefused(ValueError):
    """A price is not believed; `fault` says which rule it broke."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(f"price {text[:40]!r} refused: {fault.value}")
        self.fault = fault


def read_price(text: str) -> float:
    """Return the positive price a text spells in plain ASCII digits. Raises PriceRefused."""
    # The common case: so short that neither digits nor decimals can be too many.
    if len(text) <= _SHORT and _is_plain(text):
        price = float(text)
        if price > 0.0:
            return price
    match = _PLAIN.fullmatch(text) if len(text) <= LONGEST else None
    if match is None:
        raise PriceRefused(_fault_of(text), text)
    whole, fraction = match[1], (match[2] or "").rstrip("0")
    digits = len((whole + fraction).lstrip("0"))
    if digits == 0:
        raise PriceRefused(Fault.ZERO, text)
    if len(whole) > MAX_DIGITS:
        raise PriceRefused(Fault.TOO_LARGE, text)
    if digits > MAX_DIGITS or len(fraction) > MAX_DECIMALS:
        raise PriceRefused(Fault.TOO_PRECISE, text)
    return float(text)


def _fault_of(text: str) -> Fault:
    bare = text.strip().lower().lstrip("+-")
    if bare in _SPECIAL:
        return Fault.NOT_FINITE
    if text.startswith("-") and _PLAIN.fullmatch(text[1:]):
        return Fault.NEGATIVE
    if re.fullmatch(r"[0-9.]+e[+-]?[0-9]+", bare, re.ASCII):
        return Fault.EXPONENT
    return Fault.TOO_LARGE if _PLAIN.fullmatch(text) else Fault.MALFORMED


def is_size(text: str) -> bool:
    """Say whether a text spells a quantity that is not negative, in plain ASCII digits."""
    return len(text) <= LONGEST and _is_plain(text) is not None


def band_around(price: float, rate: float) -> tuple[float, float]:
    """Return the open interval that a price may move to in one step: `rate` below and above, within the ceiling."""
    return price * (1.0 - rate), min(price * (1.0 + rate), CEILING)


def quote_of(bid: str, ask: str) -> tuple[float, float]:
    """Return bid and ask as floats, or (0, inf) when the pair is no market: unreadable, zero or crossed."""
    try:
        low, high = read_price(bid), read_price(ask)
    except PriceRefused:
        return 0.0, inf
    return (low, high) if low < high else (0.0, inf)


def middles(prices: Iterable[float]) -> tuple[float, float]:
    """Return the two middle prices; they are the same one when the count is odd."""
    ranked = sorted(prices)
    return ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]


def is_away(price: float, reference: float, rate: float) -> bool:
    """Say whether a price is more than `rate` away from a reference."""
    return abs(price - reference) > reference * rate


def is_outside(price: float, bid: float, ask: float, rate: float) -> bool:
    """Say whether a price is more than `rate` below the bid or above the ask; a little outside is normal."""
    return price < bid * (1.0 - rate) or price > ask * (1.0 + rate)


def lonely(prices: Sequence[float], reference: float, rate: float) -> list[bool]:
    """Say of each price whether it is more than `rate` away from the prices around it, two on either side.

    Fewer than three prices are judged beside `reference`, the market's price (0 when unknown); a price with nothing to
    confirm it is lonely.
    """
    verdicts = []
    for index, price in enumerate(prices):
        around = list(prices[max(0, index - 2) : index + 3])
        if len(around) < 3 and reference:
            around.append(reference)
        verdicts.append(len(around) < 2 or any(is_away(price, middle, rate) for middle in middles(around)))
    return verdicts


def instant_ns(text: str) -> int | None:
    """Return the nanoseconds since the epoch of an ISO 8601 text with an offset, or None when it is not one."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    if instant.tzinfo is None:
        return None
    return round(instant.timestamp() * 1_000_000) * 1000


def is_fresh(*, received_ns: int, venue_ns: int, skew_ns: int, max_age_ns: int) -> bool:
    """Say whether a print is young enough to act on, its venue clock corrected by the known skew.

    A print from the future by more than `max_age_ns` proves nothing about its age, so it is not fresh.
    """
    return abs(received_ns - venue_ns - skew_ns) <= max_age_ns
