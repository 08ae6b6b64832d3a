"""What a report consists of, before it is written as HTML, PDF or CSV: plain values, no markup."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Tone(StrEnum):
    """What a value or sentence says: its colour repeats the sign or the word."""

    PLAIN = ""
    GAIN = "gain"
    LOSS = "loss"
    CALM = "calm"


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a table: as it is read, and as CSV has it."""

    text: str
    raw: str
    number: bool = False
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under heads; `name` is that of its CSV, `none` is said instead of no rows, `note` below them."""

    name: str
    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    none: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A curve; `filled_to` fills what lies between it and a level."""

    values: Sequence[float]
    kind: str  # own, rival, fall, soft
    title: str = ""
    filled_to: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Curves over instants (seconds since the epoch), or columns when `bars` is set."""

    name: str
    title: str
    description: str
    at: Sequence[int]
    lines: Sequence[Line]
    suffix: str = ""
    level: float | None = None
    flat: bool = False
    bars: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence."""

    text: str
    tone: Tone = Tone.PLAIN


Block = Table | Chart | Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One figure of the headline, with the one that puts it in proportion."""

    title: str
    value: str
    beside: str = ""
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a report under its own heading."""

    name: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole report."""

    title: str
    about: Sequence[str]
    verdict: Text
    cards: Sequence[Card]
    sections: Sequence[Section] = field(default=())
    made: str = ""

    @property
    def tables(self) -> list[Table]:
        """Every table, in order."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Table)]
