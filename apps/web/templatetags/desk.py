"""How values look on the desk's pages: the same cells that the admin's lists are made of."""

from datetime import datetime
from decimal import Decimal

from django import template

from apps.access.desk import cells
from apps.domain import numbers
from apps.trading import selectors
from apps.trading.models import Exit, ExitLeg

register = template.Library()


@register.filter
def plain(value: Decimal | None) -> str:
    """Write a decimal in plain digits."""
    return cells.NOTHING if value is None else numbers.plain(value)


@register.filter
def money(value: Decimal | None) -> str:
    """Write an amount to two decimals, in groups of three."""
    return cells.NOTHING if value is None else f"{value:,.2f}".replace(",", "\u202f")


@register.filter
def signed(value: Decimal | None) -> str:
    """Write an amount with its sign."""
    return cells.NOTHING if value is None else cells.signed(value)


@register.filter
def percent(value: Decimal | None) -> str:
    """Write a rate as a percentage to two decimals."""
    return cells.NOTHING if value is None else f"{value * 100:.2f} %"


@register.filter
def ms(value: float | None) -> str:
    """Write milliseconds, or seconds where milliseconds say little."""
    if value is None:
        return cells.NOTHING
    return f"{value:.1f} ms" if abs(value) < 1000 else f"{value / 1000:.1f} s"


@register.filter
def state(value: str) -> str:
    """Write a state as a tag."""
    return cells.tag(value, cells.TONES.get(value, "plain"))


@register.filter
def words(value: str) -> str:
    """Write a stored word for reading."""
    return value.replace("_", " ")


@register.filter
def at(value: datetime | None) -> str:
    """Write an instant in UTC; the tooltip is exact."""
    return cells.NOTHING if value is None else cells.at(value)


@register.filter
def clock(value: datetime | None) -> str:
    """Write the time of day in UTC."""
    return cells.NOTHING if value is None else f"{value:%H:%M:%S}"


@register.filter
def exactly(value: datetime) -> str:
    """Write the time of day in UTC with milliseconds."""
    return f"{value:%H:%M:%S}.{value.microsecond // 1000:03}"


@register.filter
def took(value: Exit) -> float | None:
    """Return how long an exit took from tick to close, in milliseconds."""
    return selectors.tick_to_close_ms(value)


@register.filter
def part(leg: ExitLeg) -> str:
    """Say for how much of the position a leg is."""
    return "all" if leg.fraction == 1 else f"{numbers.plain(leg.fraction * 100)} %"
