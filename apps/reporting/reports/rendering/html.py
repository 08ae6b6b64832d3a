"""How does a report become one HTML file? With the drawings and the style of the backtest's report, nothing fetched."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import Final

import numpy as np
from django.utils.safestring import SafeString

from apps.backtests import report
from apps.backtests.report import charts, scales, tables
from apps.backtests.report.tables import Cell as Shaped
from apps.backtests.report.tags import joined, tag
from apps.reporting.reports.document import Block, Card, Cell, Chart, Document, Line, Section, Table, Text, Tone

MOST_ROWS: Final = 300
HERE: Final = Path(__file__).parent
_VERDICT: Final = {Tone.GAIN: "fine", Tone.CALM: "amber", Tone.LOSS: "red", Tone.PLAIN: ""}


def written(document: Document) -> str:
    """Return a document as one HTML file."""
    return _template().substitute(
        title=tag("title", document.title),
        style=_style(),
        heading=tag("h1", document.title),
        about=tag("p", joined(tag("span", part) for part in document.about), class_="about"),
        verdict=tag("p", document.verdict.text, class_=f"verdict {_VERDICT[document.verdict.tone]}".strip()),
        headline=tag("dl", joined(_card(card) for card in document.cards), class_="headline"),
        contents=joined(tag("a", part.title, href=f"#{part.name}") for part in document.sections),
        sections=joined(_section(part) for part in document.sections),
        made=tag("p", document.made),
    )


def left_out(table: Table, most: int) -> str:
    """Return what is said below a table that is longer than a file shows."""
    if len(table.rows) <= most:
        return table.note
    return f"{most:,} of {len(table.rows):,} rows; the CSV has them all. {table.note}".strip()


def _section(section: Section) -> SafeString:
    return tag("section", tag("h2", section.title), joined(_block(each) for each in section.blocks), id=section.name)


def _block(block: Block) -> SafeString:
    match block:
        case Table():
            return _table(block)
        case Chart():
            return _chart(block)
        case Text():
            return tag("p", block.text, class_=str(block.tone) or None)


def _table(table: Table) -> SafeString:
    if not table.rows:
        return joined([tag("h3", table.title), tag("p", table.none, class_="calm")])
    numbers = [cell.number for cell in table.rows[0]]
    heads = [Shaped(text, "number" if number else "text") for text, number in zip(table.heads, numbers, strict=True)]
    rows = ((row[0].text, *(_cell(cell) for cell in row[1:])) for row in table.rows[:MOST_ROWS])
    kind = "trades" if len(table.heads) > 9 else ""
    drawn = tables.table(table.title, heads, rows, kind=kind)
    note = left_out(table, MOST_ROWS)
    return joined([drawn, tag("p", note, class_="caption below-table") if note else ""])


def _cell(cell: Cell) -> Shaped:
    shape = "number" if cell.number else "text"
    return Shaped(cell.text, f"{shape} {cell.tone}".strip())


def _card(card: Card) -> SafeString:
    return tag(
        "div",
        tag("dt", card.title),
        tag("dd", card.value, class_=str(card.tone) or None),
        tag("dd", card.beside, class_="beside"),
    )


def _chart(chart: Chart) -> SafeString:
    low, high = bounds(chart)
    span = scales.around(low, high, ticks=3 if chart.flat else 4)
    drawn = [charts.level(chart.level, span)] if chart.level is not None else []
    drawn += [_line(line, span) for line in chart.lines]
    return charts.figure(
        charts.Chart(
            name=chart.name,
            title=chart.title,
            description=chart.description,
            caption=chart.description,
            drawing=joined(drawn),
            left=scales.value_ticks(span, chart.suffix),
            below=scales.time_ticks(np.asarray(chart.at, dtype=np.int64)),
            size="flat" if chart.flat else "tall",
            key=[(line.kind, line.title) for line in chart.lines if line.title],
        )
    )


def _line(line: Line, span: scales.Range) -> SafeString:
    values = np.asarray(line.values, dtype=np.float64)
    return charts.curve(values, span, line.kind, filled_to=line.filled_to)


def bounds(chart: Chart) -> tuple[float, float]:
    """Return the lowest and highest value that a chart shows."""
    values: list[float] = [value for line in chart.lines for value in line.values]
    fixed: Sequence[float | None] = [chart.level, *(line.filled_to for line in chart.lines)]
    values += [value for value in fixed if value is not None]
    return min(values), max(values)


@cache
def _template() -> Template:
    return Template((HERE / "page.html").read_text(encoding="utf-8"))


@cache
def _style() -> str:
    borrowed = Path(report.__file__).parent / "style.css"
    return borrowed.read_text(encoding="utf-8") + (HERE / "style.css").read_text(encoding="utf-8")
