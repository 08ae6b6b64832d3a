"""How is a table made? With a caption, headed columns and rows, and numbers that stand under each other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from apps.backtests.report import wording
from apps.backtests.report.tags import joined, tag


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a cell, and the classes that shape it."""

    text: object
    kind: str | None = "number"
    style: str | None = None


def table(
    caption: str, heads: Sequence[object], rows: Iterable[Sequence[object]], *, kind: str = "", hidden: bool = False
) -> SafeString:
    """Return a table; the first cell of a row is its head. A `hidden` caption is there for readers aloud."""
    head = tag("thead", tag("tr", *(_head(text, n) for n, text in enumerate(heads))))
    body = tag("tbody", joined(_row(row) for row in rows))
    told = tag("caption", caption, class_="unseen" if hidden else None)
    return tag("div", tag("table", told, head if any(heads) else "", body, class_=kind or None), class_="scroll")


def signed(value: float, text: str) -> Cell:
    """Return a cell coloured by the sign of its value, as far as two decimals show one."""
    return Cell(text, f"number {wording.tone(round(value, 2)) or ''}".strip())


def _row(cells: Sequence[object]) -> SafeString:
    first, *others = cells
    return tag("tr", tag("th", first, scope="row"), *(_cell(each) for each in others))


def _cell(cell: object) -> SafeString:
    if isinstance(cell, Cell):
        return tag("td", cell.text, class_=cell.kind, style=cell.style)
    return tag("td", cell, class_="number")


def _head(cell: object, number: int) -> SafeString:
    if isinstance(cell, Cell):
        return tag("th", cell.text, scope="col", class_=cell.kind)
    return tag("th", cell, scope="col", class_="number" if number else None)
