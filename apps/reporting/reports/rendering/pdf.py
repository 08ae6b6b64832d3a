"""How does a report become a PDF? On landscape pages, with text that can be searched and charts drawn as lines."""

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from fpdf import FPDF

from apps.reporting.reports.document import Card, Chart, Document, Section, Table, Text, Tone
from apps.reporting.reports.rendering import pdf_charts, pdf_tables
from apps.reporting.reports.rendering.pdf_ink import FONT, INKS, MARGIN, SOFT, WIDTH, ink

logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells every glyph it leaves out
_VERDICT: Final = {Tone.GAIN: "gain", Tone.CALM: "amber", Tone.LOSS: "loss", Tone.PLAIN: "soft"}
_CARDS_IN_A_ROW: Final = 4
_GAP: Final = 4.0


def written(document: Document, *, made_at: datetime) -> bytes:
    """Return a document as a PDF; `made_at` is the time it bears."""
    page = _Pages(orientation="landscape", unit="mm", format="A4")
    page.set_creation_date(made_at)
    page.set_title(document.title)
    page.set_lang("en")
    page.footing = document.made
    page.set_margins(MARGIN, MARGIN)
    page.c_margin = 0
    page.set_auto_page_break(True, margin=MARGIN + 4)
    regular, bold = _fonts()
    page.add_font(FONT, "", regular)
    page.add_font(FONT, "B", bold)
    page.add_page()
    _head(page, document)
    for section in document.sections:
        _section(page, section)
    return bytes(page.output())


class _Pages(FPDF):
    """Pages with a foot that says what they belong to."""

    footing = ""

    def footer(self) -> None:
        """Write when it was made, and the number of the page."""
        self.set_y(-MARGIN)
        self.set_font(FONT, "", 7.5)
        ink(self, SOFT)
        self.cell(WIDTH / 2, 4, self.footing)
        self.cell(WIDTH / 2, 4, f"{self.page_no()} of {{nb}}", align="R")


def _head(page: FPDF, document: Document) -> None:
    page.set_font(FONT, "B", 17)
    ink(page, INKS["ink"])
    page.multi_cell(WIDTH, 8, document.title, new_x="LMARGIN", new_y="NEXT")
    page.set_font(FONT, "", 9)
    ink(page, SOFT)
    page.multi_cell(WIDTH, 5, "   \u00b7   ".join(document.about), new_x="LMARGIN", new_y="NEXT")
    page.ln(2)
    top = page.get_y()
    page.set_font(FONT, "", 10)
    ink(page, INKS["ink"])
    page.set_x(MARGIN + 4)
    page.multi_cell(WIDTH - 4, 5.5, document.verdict.text, new_x="LMARGIN", new_y="NEXT")
    page.set_fill_color(*INKS[_VERDICT[document.verdict.tone]])
    page.rect(MARGIN, top, 1.2, page.get_y() - top, style="F")
    page.ln(_GAP)
    _cards(page, document.cards)


def _cards(page: FPDF, cards: Sequence[Card]) -> None:
    wide, high, top = WIDTH / _CARDS_IN_A_ROW, 17.0, page.get_y()
    for count, card in enumerate(cards):
        left, down = MARGIN + count % _CARDS_IN_A_ROW * wide, top + count // _CARDS_IN_A_ROW * high
        _card(page, card, left, down, wide, high)
    page.set_y(top + -(-len(cards) // _CARDS_IN_A_ROW) * high + _GAP)


def _card(page: FPDF, card: Card, left: float, top: float, wide: float, high: float) -> None:
    page.set_draw_color(*INKS["rule"])
    page.set_line_width(0.2)
    page.rect(left, top, wide, high)
    for row, (text, size, style, colour) in enumerate(
        (
            (card.title, 8, "", SOFT),
            (card.value, 13, "B", INKS[str(card.tone) or "ink"]),
            (card.beside, 7.5, "", SOFT),
        )
    ):
        page.set_xy(left + 2, top + (1.5, 5.5, 11.5)[row])
        page.set_font(FONT, style, size)
        ink(page, colour)
        page.cell(wide - 4, (4, 6, 4)[row], pdf_tables.fitted(page, text, wide - 4))


def _section(page: FPDF, section: Section) -> None:
    if page.will_page_break(30):
        page.add_page()
    page.set_font(FONT, "B", 12.5)
    ink(page, INKS["ink"])
    page.start_section(section.title)
    page.cell(WIDTH, 8, section.title, new_x="LMARGIN", new_y="NEXT")
    for block in section.blocks:
        match block:
            case Table():
                pdf_tables.draw(page, block)
            case Chart():
                pdf_charts.draw(page, block)
            case Text():
                _text(page, block)
    page.ln(2)


def _text(page: FPDF, text: Text) -> None:
    page.set_font(FONT, "B" if text.tone is Tone.LOSS else "", 9)
    ink(page, INKS["loss"] if text.tone is Tone.LOSS else SOFT if text.tone is Tone.CALM else INKS["ink"])
    page.multi_cell(WIDTH, 5, text.text, new_x="LMARGIN", new_y="NEXT")


@cache
def _fonts() -> tuple[Path, Path]:
    folder = Path(str(files("font_source_sans_pro"))) / "files"
    return folder / "SourceSansPro-Regular.ttf", folder / "SourceSansPro-Semibold.ttf"
