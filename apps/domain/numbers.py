"""How numbers come in and how they are rounded: nothing is accepted loosely, nothing is rounded silently."""

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

MONEY_STEP = Decimal("0.00000001")  # ledger amounts carry eight decimals in every currency
MAX_DIGITS = 28
MAX_DECIMALS = 12
LIMIT = Decimal(10) ** (MAX_DIGITS - MAX_DECIMALS - 1)  # every amount stays below this

_PLAIN = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?", re.ASCII)


class NumberRefused(ValueError):
    """A text is not a number this product takes; the sentence says the rule and the remedy."""


def parse(text: object) -> Decimal:
    """Return the Decimal a text spells in plain ASCII digits.

    Refuses exponents, underscores, signs other than a leading minus, full-width digits, NaN and infinities, 10^15
    and above, and more than 12 digits after the point. Raises NumberRefused.
    """
    if not isinstance(text, str) or not _PLAIN.fullmatch(text):
        raise NumberRefused(f"{_shown(text)} is not a plain decimal number; write it as a string of digits like '0.25'")
    value = Decimal(text)
    if abs(value) >= LIMIT:
        raise NumberRefused(f"{_shown(text)} is too large; it must be less than {LIMIT}")
    if value != value.quantize(Decimal(1).scaleb(-MAX_DECIMALS)):
        raise NumberRefused(f"{_shown(text)} is too fine; at most {MAX_DECIMALS} digits after the point")
    return value


def parse_positive(text: object) -> Decimal:
    """Return the Decimal a text spells, refusing zero and below. Raises NumberRefused."""
    value = parse(text)
    if value <= 0:
        raise NumberRefused(f"{_shown(text)} must be greater than 0")
    return value


def on_grid(value: Decimal, step: Decimal) -> bool:
    """Say whether `value` is a whole multiple of `step`."""
    return value % step == 0


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of `step` that is not above `value`."""
    return (value / step).to_integral_value(ROUND_FLOOR) * step


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """Return the smallest multiple of `step` that is not below `value`."""
    return (value / step).to_integral_value(ROUND_CEILING) * step


def money(value: Decimal) -> Decimal:
    """Round an amount to eight decimals, half to even: the one rounding rule of the ledger."""
    return value.quantize(MONEY_STEP, ROUND_HALF_EVEN)


def average(notional: Decimal, quantity: Decimal) -> Decimal:
    """Return the average price of fills, twelve decimals; exact when it is one price."""
    return stored(notional / quantity)


def stored(value: Decimal) -> Decimal:
    """Round to the twelve decimals of a column, half to even, before the database would do it silently."""
    return value.quantize(Decimal(1).scaleb(-MAX_DECIMALS), ROUND_HALF_EVEN)


def plain(value: Decimal) -> str:
    """Write a Decimal without exponent and without trailing zeros: '61800.3', '0', '1000'."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
