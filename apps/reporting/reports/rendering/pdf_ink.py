"""Colours and measures of the pages of a PDF, in millimetres."""

from typing import Final

from fpdf import FPDF

FONT: Final = "report"
MARGIN: Final = 12.0
WIDTH: Final = 297.0 - 2 * MARGIN
HEIGHT: Final = 210.0 - 2 * MARGIN
Colour = tuple[int, int, int]
INKS: Final[dict[str, Colour]] = {
    "ink": (20, 24, 30),
    "soft": (92, 101, 112),
    "calm": (92, 101, 112),
    "rule": (214, 212, 206),
    "grid": (228, 226, 221),
    "own": (31, 78, 150),
    "own-wash": (222, 231, 244),
    "soft-wash": (216, 224, 235),
    "fall": (160, 43, 32),
    "fall-wash": (246, 221, 218),
    "gain": (15, 107, 60),
    "loss": (160, 43, 32),
    "amber": (138, 90, 0),
}
SOFT: Final = INKS["soft"]


def ink(page: FPDF, colour: Colour) -> None:
    """Write in a colour from here on."""
    page.set_text_color(*colour)
