"""How values look in lists and on pages: plain numbers, signed profits, exact instants, words that carry a tone.

A cell is a function from a row to text, so it serves as a list column and as a read-only field alike. Paths are dotted:
`number("position.quantity")`. A tone is a colour that repeats what the word or sign says already.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.domain import numbers

NOTHING = "\u2013"
Cell = Callable[[Any], str]
# What a word says of its row: all is well, something goes on, look here, something is wrong, it is over.
TONES: dict[str, str] = {
    "open": "good",
    "done": "good",
    "live": "good",
    "led": "good",
    "opening": "busy",
    "closing": "busy",
    "connecting": "busy",
    "triggered": "busy",
    "claimed": "busy",
    "stalled": "warn",
    "stale": "warn",
    "late": "warn",
    "failed": "bad",
    "down": "bad",
    "closed": "idle",
    "cancelled": "idle",
    "superseded": "idle",
}


def value_of(row: Any, path: str) -> Any:
    """Return what a dotted path leads to; None where a step is missing."""
    for name in path.split("."):
        if row is None:
            return None
        row = getattr(row, name, None)
    return row


def number(path: str, title: str = "") -> Cell:
    """Show a decimal in plain digits."""
    return _cell(path, title, lambda value: format_html('<span class="num">{}</span>', numbers.plain(value)))


def profit(path: str, title: str = "") -> Cell:
    """Show an amount with its sign."""
    return _cell(path, title, signed)


def rate(path: str, title: str = "") -> Cell:
    """Show a rate as a percentage: 0.001 is 0.1 %."""
    return _cell(path, title, lambda value: format_html('<span class="num">{} %</span>', numbers.plain(value * 100)))


def instant(path: str, title: str = "") -> Cell:
    """Show an instant in UTC, to the second in the text and exactly in the tooltip."""
    return _cell(path, title, at)


def exact(path: str, title: str = "") -> Cell:
    """Show an instant in UTC to the microsecond."""
    return _cell(path, title, lambda value: format_html('<span class="num">{}</span>', f"{value:%Y-%m-%d %H:%M:%S.%f}"))


def word(path: str, title: str = "", tones: Mapping[str, str] = TONES) -> Cell:
    """Show one of a few words as a tag."""
    return _cell(path, title, lambda value: tag(str(value), tones.get(str(value), "plain")))


def text(path: str, title: str = "") -> Cell:
    """Show anything as text on one line."""
    return _cell(path, title, lambda value: format_html('<span class="word">{}</span>', value))


def facts(path: str, title: str = "") -> Cell:
    """Show JSON, one fact a line."""
    return _cell(path, title, lambda value: format_html('<pre class="facts">{}</pre>', json.dumps(value, indent=2)))


def linked(path: str, title: str = "") -> Cell:
    """Show a related row by its name, as a link to its page."""
    return _cell(path, title, link)


def link(row: Any, label: str = "") -> SafeString:
    """Link to a row's page."""
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return format_html('<a class="ref" href="{}">{}</a>', url, label or str(row))


def tag(label: str, tone: str) -> SafeString:
    """Show a word with a tone."""
    return format_html('<span class="tag tag-{}">{}</span>', tone, label.replace("_", " "))


def signed(value: Decimal) -> SafeString:
    """Show an amount with its sign, rounded for reading; the tooltip has every digit."""
    tone = "good" if value > 0 else "bad" if value < 0 else "idle"
    return format_html('<span class="num tone-{}" title="{}">{}</span>', tone, numbers.plain(value), with_sign(value))


def with_sign(value: Decimal) -> str:
    """Return an amount with its sign, to two decimals, or as many as it takes to show that it is not zero."""
    step = Decimal("0.01") if abs(value) >= 1 or value == 0 else Decimal(1).scaleb(value.adjusted() - 2)
    shown = value.quantize(step, ROUND_HALF_EVEN) if -value.as_tuple().exponent > 2 else value  # type: ignore[operator]  # it is finite, so its exponent is a number
    return f"{'+' if value > 0 else ''}{numbers.plain(shown)}"


def at(value: datetime) -> SafeString:
    """Show an instant in UTC."""
    shown, exact = f"{value:%Y-%m-%d %H:%M:%S}", value.isoformat()
    return format_html('<time class="num" datetime="{}" title="{}">{}</time>', exact, exact, shown)


def _cell(path: str, title: str, show: Callable[[Any], str]) -> Cell:
    def cell(row: Any) -> str:
        value = value_of(row, path)
        return NOTHING if value is None or value == "" else show(value)

    name = path.replace(".", "_")
    cell.__name__ = name
    cell.short_description = title or path.rpartition(".")[2].replace("_", " ")  # type: ignore[attr-defined]  # the admin reads it
    cell.admin_order_field = path.replace(".", "__")  # type: ignore[attr-defined]  # the admin reads it
    return cell


def computed(title: str, order: str | None = None) -> Callable[[Cell], Cell]:
    """Title a cell that is more than the value of a path; `order` is the column it is sorted by."""

    def titled(cell: Cell) -> Cell:
        cell.short_description = title  # type: ignore[attr-defined]  # the admin reads it
        if order:
            cell.admin_order_field = order  # type: ignore[attr-defined]  # the admin reads it
        return cell

    return titled
