"""How is a table drawn in a PDF? In columns as wide as what stands in them, long words wrapped, heads on each page."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from fpdf import FPDF

from apps.reporting.reports.document import Cell, Table
from apps.reporting.reports.rendering.html import left_out
from apps.reporting.reports.rendering.pdf_ink import FONT, HEIGHT, INKS, MARGIN, SOFT, WIDTH, ink

MOST_ROWS: Final = 150
_PAD: Final = 1.6  # beside what stands in a column
_SAMPLE: Final = 60  # rows that are measured for the widths
_WIDEST: Final = 90.0


def draw(page: FPDF, table: Table) -> None:
    """Draw a table with its title, and begin a new page where it does not fit."""
    size = 8.5 if len(table.heads) <= 9 else 6.8
    line = size * 0.47
    if page.will_page_break(6 + 3 * (line + 1)):
        page.add_page()
    page.set_font(FONT, "B", 9.5)
    ink(page, INKS["ink"])
    page.cell(WIDTH, 6, table.title, new_x="LMARGIN", new_y="NEXT")
    if table.rows:
        widths = _widths(page, table, size)
        _heads(page, table, widths, size, line)
        for row in table.rows[:MOST_ROWS]:
            _row(page, table, row, widths, size, line)
    _below(page, left_out(table, MOST_ROWS) if table.rows else table.none)


def fitted(page: FPDF, text: str, wide: float) -> str:
    """Return a text, cut with an ellipsis where it is wider than that in the present font."""
    if page.get_string_width(text) <= wide:
        return text
    most = bisect_right(range(len(text)), wide, key=lambda length: page.get_string_width(text[:length] + "\u2026"))
    return text[: max(most - 1, 0)] + "\u2026"


def _below(page: FPDF, text: str) -> None:
    page.set_font(FONT, "", 8)
    ink(page, SOFT)
    if text:
        page.multi_cell(WIDTH, 4.5, text, new_x="LMARGIN", new_y="NEXT")
    page.ln(3)


def _widths(page: FPDF, table: Table, size: float) -> list[float]:
    """Return the widths of columns: what they need, words less where all together need more than the page has."""
    page.set_font(FONT, "", size)
    sample = table.rows[:_SAMPLE]
    needed = []
    for column, head in enumerate(table.heads):
        texts = [head, *(row[column].text for row in sample)]
        needed.append(max(page.get_string_width(text) for text in texts) * 1.04 + 2 * _PAD)
    if sum(needed) <= WIDTH:
        return needed
    needed = [min(wide, _WIDEST) for wide in needed]
    spare = min(WIDTH - sum(needed), 0.0)
    words = [not cell.number for cell in sample[0]]
    flexible = sum(wide for wide, is_word in zip(needed, words, strict=True) if is_word and wide > 18)
    if flexible <= -spare:
        return [wide * WIDTH / sum(needed) for wide in needed]
    return [
        wide + spare * wide / flexible if is_word and wide > 18 else wide
        for wide, is_word in zip(needed, words, strict=True)
    ]


def _heads(page: FPDF, table: Table, widths: Sequence[float], size: float, line: float) -> None:
    page.set_font(FONT, "", size)
    ink(page, SOFT)
    numbers = [cell.number for cell in table.rows[0]]
    top = page.get_y()
    deep = 1
    left = MARGIN
    for head, wide, number in zip(table.heads, widths, numbers, strict=True):
        lines = _wrapped(page, head, wide - 2 * _PAD)
        _lines(page, lines, left, top, wide, line, number)
        deep, left = max(deep, len(lines)), left + wide
    bottom = top + deep * line + 1
    page.set_draw_color(*SOFT)
    page.set_line_width(0.2)
    page.line(MARGIN, bottom, MARGIN + sum(widths), bottom)
    page.set_y(bottom + 0.6)


def _row(page: FPDF, table: Table, row: Sequence[Cell], widths: Sequence[float], size: float, line: float) -> None:
    page.set_font(FONT, "", size)
    cells = [_wrapped(page, cell.text, wide - 2 * _PAD) for cell, wide in zip(row, widths, strict=True)]
    high = max(len(lines) for lines in cells) * line + 0.9
    if page.get_y() + high > MARGIN + HEIGHT - 5:
        page.add_page()
        _heads(page, table, widths, size, line)
        page.set_font(FONT, "", size)
    top, left = page.get_y(), MARGIN
    for cell, lines, wide in zip(row, cells, widths, strict=True):
        ink(page, INKS[str(cell.tone) or "ink"])
        _lines(page, lines, left, top, wide, line, cell.number)
        left += wide
    page.set_draw_color(*INKS["grid"])
    page.set_line_width(0.1)
    page.line(MARGIN, top + high - 0.3, MARGIN + sum(widths), top + high - 0.3)
    page.set_y(top + high)


def _lines(page: FPDF, lines: Sequence[str], left: float, top: float, wide: float, line: float, number: bool) -> None:
    for count, text in enumerate(lines):
        shift = wide - 2 * _PAD - page.get_string_width(text) if number else 0.0
        page.text(left + shift, top + (count + 0.78) * line, text)


def _wrapped(page: FPDF, text: str, wide: float) -> list[str]:
    """Return a text in lines that fit; a word that is wider than a line is cut."""
    if page.get_string_width(text) <= wide:
        return [text]
    lines, present = [], ""
    for word in text.split():
        longer = f"{present} {word}".strip()
        if page.get_string_width(longer) <= wide:
            present = longer
            continue
        if present:
            lines.append(present)
        present = word if page.get_string_width(word) <= wide else fitted(page, word, wide)
    return [*lines, present]
