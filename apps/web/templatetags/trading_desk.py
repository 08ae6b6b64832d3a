"""How values look on the pages of the desk, beside those it shares with the admin: times in the person's zone."""

from datetime import datetime
from decimal import Decimal

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.access.desk import cells
from apps.domain import numbers

register = template.Library()
_CENT = Decimal("0.01")


@register.filter
def when(value: datetime | None) -> str:
    """Write an instant in the person's time zone; the tooltip is exact."""
    return cells.NOTHING if value is None else _time(value, "%Y-%m-%d %H:%M:%S")


@register.filter
def hour(value: datetime | None) -> str:
    """Write the time of day in the person's time zone, with the day where it is not today's."""
    if value is None:
        return cells.NOTHING
    today = timezone.localtime(value).date() == timezone.localdate()
    return _time(value, "%H:%M:%S" if today else "%d %b %H:%M")


@register.filter
def gain(value: Decimal | None) -> str:
    """Write an amount with its sign to two decimals, in groups of three; the tooltip has every digit."""
    if value is None:
        return cells.NOTHING
    tone = "good" if value > 0 else "bad" if value < 0 else "idle"
    tiny = value != 0 and abs(value) < _CENT  # a gain that rounds to nothing is still one
    shown = cells.with_sign(value) if tiny else f"{value:+,.2f}".replace(",", "\u202f")
    shown = shown.replace("-", "\u2212")
    return format_html('<span class="num tone-{}" title="{}">{}</span>', tone, numbers.plain(value), shown)


@register.filter
def unit(value: str, name: str) -> str:
    """Write a unit after an amount; nothing has none."""
    return value if value == cells.NOTHING else format_html('{} <span class="unit">{}</span>', value, name)


@register.filter
def rate(value: Decimal | None) -> str:
    """Write a rate as a percentage with its sign."""
    return cells.NOTHING if value is None else f"{value * 100:+.2f} %".replace("-", "\u2212")


@register.filter
def room(value: Decimal | None) -> str:
    """Write how far a price is from a level as a percentage."""
    return cells.NOTHING if value is None else f"{value * 100:.2f} %".replace("-", "\u2212")


def _time(value: datetime, how: str) -> SafeString:
    shown = timezone.localtime(value)
    text = '<time class="num" datetime="{}" title="{}">{}</time>'
    return format_html(text, value.isoformat(), shown.isoformat(" "), f"{shown:{how}}")
