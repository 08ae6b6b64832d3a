"""How are figures written for people? In groups of three, with a real minus sign, in UTC; the same for every file."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from apps.reporting.reports.document import Cell, Tone

NOTHING: Final = "\N{EN DASH}"
MINUS: Final = "\N{MINUS SIGN}"
_CENT: Final = Decimal("0.01")
_HOUR, _DAY = 3600, 86_400


def number(value: Any, places: int = 2, *, signed: bool = False) -> str:
    """Write a decimal (or its text) with so many places; a dash for None."""
    if value is None:
        return NOTHING
    exact = Decimal(str(value))
    shown = round(exact, places)
    sign = MINUS if shown < 0 else "+" if signed and shown > 0 else ""
    return f"{sign}{abs(shown):,.{places}f}"


def percent(rate: Any, places: int = 2, *, signed: bool = False) -> str:
    """Write a rate as a percentage."""
    return NOTHING if rate is None else f"{number(Decimal(str(rate)) * 100, places, signed=signed)} %"


def exact(value: Any) -> str:
    """Write a quantity or price with all its digits, in groups of three."""
    if value is None:
        return NOTHING
    whole, point, rest = str(value).lstrip("-").partition(".")
    return f"{MINUS if str(value).startswith('-') else ''}{int(whole or 0):,}{point}{rest}"


def instant(text: str | None) -> str:
    """Write an instant in UTC to the minute; a dash for None."""
    return NOTHING if text is None else f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}"


def second(text: str | None) -> str:
    """Write an instant in UTC to the second, without its year."""
    return NOTHING if text is None else f"{datetime.fromisoformat(text):%m-%d %H:%M:%S}"


def span(seconds: Any) -> str:
    """Write a length of time in its two largest units."""
    if seconds is None:
        return NOTHING
    whole = round(float(seconds))
    if whole >= _DAY:
        return f"{whole // _DAY:,} d {whole % _DAY // _HOUR} h"
    if whole >= _HOUR:
        return f"{whole // _HOUR} h {whole % _HOUR // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def took(milliseconds: Any) -> str:
    """Write a latency."""
    if milliseconds is None:
        return NOTHING
    value = float(milliseconds)
    return f"{value / 1000:,.1f} s" if value >= 10_000 else f"{value:,.1f} ms" if value < 100 else f"{value:,.0f} ms"


def counted(count: int, word: str) -> str:
    """Write how many there are of something."""
    return f"1 {word}" if count == 1 else f"{count:,} {word}s"


def tone(value: Any) -> Tone:
    """Return the tone of a gain or loss."""
    if value is None or Decimal(str(value)) == 0:
        return Tone.PLAIN
    return Tone.GAIN if Decimal(str(value)) > 0 else Tone.LOSS


# --- cells ----------------------------------------------------------------------------------------------------------
def word(value: Any) -> Cell:
    """Return a cell of text."""
    text = "" if value is None else str(value)
    return Cell(text.replace("_", " ") or NOTHING, text)


def said(value: Any) -> Cell:
    """Return a cell of text that is left as it is."""
    text = "" if value is None else str(value)
    return Cell(text or NOTHING, text)


def money(value: Any, *, signed: bool = False) -> Cell:
    """Return a cell of an amount: rounded to be read, whole in CSV."""
    return Cell(number(value, signed=signed), _raw(value), True, tone(value) if signed else Tone.PLAIN)


def digits(value: Any) -> Cell:
    """Return a cell of a price or quantity with all its digits."""
    return Cell(exact(value), _raw(value), True)


def count(value: Any) -> Cell:
    """Return a cell of a whole number."""
    return Cell(number(value, 0), _raw(value), True)


def rate(value: Any, *, signed: bool = False) -> Cell:
    """Return a cell of a rate, written as a percentage."""
    return Cell(percent(value, signed=signed), _raw(value), True, tone(value) if signed else Tone.PLAIN)


def blank() -> Cell:
    """Return a cell of no number, beside numbers."""
    return Cell("", "", True)


def at(text: str | None, *, seconds: bool = False) -> Cell:
    """Return a cell of an instant."""
    return Cell(second(text) if seconds else instant(text), text or "")


def latency(milliseconds: Any) -> Cell:
    """Return a cell of a latency."""
    return Cell(took(milliseconds), _raw(milliseconds), True)


def lasting(seconds: Any) -> Cell:
    """Return a cell of a length of time."""
    return Cell(span(seconds), _raw(seconds), True)


def _raw(value: Any) -> str:
    return "" if value is None else str(value)
