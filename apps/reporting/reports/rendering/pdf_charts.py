"""How is a chart drawn in a PDF? As lines on the page, with the axes of the HTML file."""

from typing import Final

import numpy as np
from fpdf import FPDF

from apps.backtests.report import scales
from apps.backtests.report.scales import Floats, Range
from apps.reporting.reports.document import Chart, Line
from apps.reporting.reports.rendering.html import bounds
from apps.reporting.reports.rendering.pdf_ink import FONT, INKS, MARGIN, SOFT, WIDTH, ink

_POINTS: Final = 600  # columns of a curve: more are not seen on paper
_LEFT: Final = 18.0  # for the labels
_HIGH, _FLAT = 46.0, 24.0
_THIN, _FIRM = 0.15, 0.35


def draw(page: FPDF, chart: Chart) -> None:
    """Draw a chart with its title, axes and what it says in a sentence."""
    high = _FLAT if chart.flat else _HIGH
    if page.will_page_break(high + 17):
        page.add_page()
    _title(page, chart)
    span = scales.around(*bounds(chart), ticks=3 if chart.flat else 4)
    top = page.get_y() + 1.5
    _axes(page, chart, span, top, high)
    for line in chart.lines:
        _curve(page, line, span, top, high)
    page.set_xy(MARGIN, top + high + 5)
    page.set_font(FONT, "", 8)
    ink(page, SOFT)
    page.multi_cell(WIDTH, 4.5, chart.description, new_x="LMARGIN", new_y="NEXT")
    page.ln(3)


def _title(page: FPDF, chart: Chart) -> None:
    page.set_font(FONT, "B", 9.5)
    ink(page, INKS["ink"])
    page.cell(page.get_string_width(chart.title) + 6, 6, chart.title)
    page.set_font(FONT, "", 8)
    for line in chart.lines:
        if line.title:
            ink(page, INKS[line.kind])
            page.cell(page.get_string_width(f"\u2014 {line.title}") + 4, 6, f"\u2014 {line.title}")
    page.ln(6)


def _axes(page: FPDF, chart: Chart, span: Range, top: float, high: float) -> None:
    page.set_font(FONT, "", 7)
    ink(page, SOFT)
    page.set_draw_color(*INKS["grid"])
    page.set_line_width(_THIN)
    for tick in scales.value_ticks(span, chart.suffix):
        y = top + tick.where * high
        page.line(MARGIN + _LEFT, y, MARGIN + WIDTH, y)
        page.text(MARGIN + _LEFT - 2 - page.get_string_width(tick.text), y + 0.9, tick.text)
    for tick in scales.time_ticks(np.asarray(chart.at, dtype=np.int64)):
        x = MARGIN + _LEFT + tick.where * (WIDTH - _LEFT)
        half = page.get_string_width(tick.text) / 2
        page.text(min(max(x - half, MARGIN + _LEFT), MARGIN + WIDTH - 2 * half), top + high + 3.6, tick.text)
    if chart.level is not None and span.low <= chart.level <= span.high:
        y = top + float(span.down(np.array([chart.level]))[0]) * high
        page.set_draw_color(*SOFT)
        page.line(MARGIN + _LEFT, y, MARGIN + WIDTH, y)


def _curve(page: FPDF, line: Line, span: Range, top: float, high: float) -> None:
    values: Floats = np.asarray(line.values, dtype=np.float64)
    kept = scales.extremes(values, _POINTS)
    across = MARGIN + _LEFT + kept / max(len(values) - 1, 1) * (WIDTH - _LEFT)
    down = top + span.down(values[kept]) * high
    points = list(zip(across.tolist(), down.tolist(), strict=True))
    if line.filled_to is not None:
        level = top + float(np.clip(span.down(np.array([line.filled_to])), 0.0, 1.0)[0]) * high
        page.set_fill_color(*INKS[f"{line.kind}-wash"])
        page.polygon([(points[0][0], level), *points, (points[-1][0], level)], style="F")
    page.set_draw_color(*INKS[line.kind])
    page.set_line_width(_FIRM)
    page.polyline(points)
