"""How the terminal writes numbers, instants and words: short, signed, and never by colour alone."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from rich.text import Text

from apps.domain import numbers
from apps.web.terminal.board import Row, instant

NOTHING: Final = "–"  # noqa: RUF001 - the dash of an empty cell
GOOD, BAD, WARN, DIM = "green", "red", "yellow", "dim"
_CENT: Final = Decimal("0.01")
_LONGEST: Final = 60  # characters of an event's facts
TONES: Final = {
    "active": GOOD,
    "live": GOOD,
    "open": GOOD,
    "done": GOOD,
    "filled": GOOD,
    "ok": GOOD,
    "reducing": WARN,
    "closing": WARN,
    "triggered": WARN,
    "claimed": WARN,
    "unknown": WARN,
    "halted": BAD,
    "failing": BAD,
    "failed": BAD,
    "rejected": BAD,
}


def plain(value: object) -> str:
    """Write a decimal as it is, without an exponent."""
    return NOTHING if value is None or value == "" else numbers.plain(Decimal(str(value)))


def money(value: Decimal | None) -> str:
    """Write an amount to the cent with separators."""
    return NOTHING if value is None else f"{value.quantize(_CENT, ROUND_HALF_EVEN):,}"


def signed(value: Decimal | None) -> Text:
    """Write a gain with its sign and its colour."""
    if value is None:
        return Text(NOTHING, DIM)
    rounded = value.quantize(_CENT, ROUND_HALF_EVEN)
    style = GOOD if rounded > 0 else BAD if rounded < 0 else DIM
    return Text(f"{rounded:+,}" if rounded else "0.00", style)


def rate(value: Decimal | None) -> Text:
    """Write a rate in percent with its sign."""
    if value is None:
        return Text(NOTHING, DIM)
    shown = signed(value * 100)
    return Text(f"{shown.plain}%", shown.style)


def word(text: str) -> Text:
    """Write a status in the colour it has everywhere."""
    return Text(text.replace("_", " "), TONES.get(text, ""))


def clock(at: datetime | None) -> str:
    """Write an instant of today as its time, another one with its day; UTC."""
    if at is None:
        return NOTHING
    return f"{at.astimezone(UTC):%m-%d %H:%M:%S}"


def span(seconds: float) -> str:
    """Write how long something takes or is ago."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def milliseconds(value: float | None) -> str:
    """Write a latency."""
    if value is None:
        return NOTHING
    return f"{value:.0f} ms" if value < 10_000 else span(value / 1000)


def told(event: Row) -> Text:
    """Write an event as one line: when, what, to what, by whom, and its facts as far as they fit."""
    line = Text(f"{clock(instant(event['at']))}  ")
    kind = str(event["kind"])
    line.append(f"{kind:<24}", _tone(kind))
    line.append(f" {event['subject']}")
    if event.get("actor"):
        line.append(f" by {event['actor']}")
    facts = " ".join(_facts(event.get("payload") or {}))
    return line.append(f"  {facts}"[: _LONGEST + 2], DIM)


def _facts(payload: Any) -> Iterator[str]:
    for name, value in payload.items() if isinstance(payload, dict) else ():
        if isinstance(value, str | int | float | bool) and value != "":
            yield f"{name}={value}"


def _tone(kind: str) -> str:
    verb = kind.rpartition(".")[2]
    if verb in ("failed", "rejected", "halted", "refused", "broken", "lost"):
        return BAD
    return GOOD if verb in ("closed", "filled", "rearmed", "resumed") else ""
