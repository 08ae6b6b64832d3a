"""No cell of an export is computed by a spreadsheet, and nothing of it is lost."""

import csv
import io
import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.domain import sheets

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
TRIGGERS = (
    "=+-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)
texts = st.text(
    st.one_of(st.sampled_from(TRIGGERS + " \"',;1aA\ufeff\u200b"), st.characters(exclude_categories=["Cs"]))
)


# The first text makes the table of all characters, which takes a second on a busy machine.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(texts, min_size=1, max_size=6))
@example(["=1+1", "-1", "-1+cmd|' /C calc'!A0", "\uff1dSUM(A1)", "\t=1", " =1", "\ufeff=1", "'=1", '"=1'])
def test_no_cell_starts_a_formula_and_every_text_survives(cells: list[str]) -> None:
    written = sheets.line(cells)
    (read,) = csv.reader(io.StringIO(written, newline=""), strict=True)
    assert len(read) == len(cells)
    for cell, text in zip(read, cells, strict=True):
        assert cell in (text, f"'{text}")
        assert not cell or cell[0] not in TRIGGERS or NUMBER.fullmatch(cell)
        seen = cell.lstrip(" \ufeff\u200b")
        assert not seen or seen[0] not in TRIGGERS or NUMBER.fullmatch(cell), "blanks and invisible signs hide nothing"


@pytest.mark.parametrize("number", ["0", "-1", "-0.5", "123.456"])
def test_numbers_stay_numbers(number: str) -> None:
    assert sheets.disarmed(number) == number


@pytest.mark.parametrize("text", ["-1e5", "+1", "-", "--1", "-1,5", "\u2212=", "\uff0d1", "@x", "|x", "%x"])
def test_what_is_not_a_plain_number_is_disarmed_where_it_starts_like_a_formula(text: str) -> None:
    assert sheets.disarmed(text) == (f"'{text}" if text[0] != "\u2212" else text)


def test_a_line_is_quoted_and_ends_as_the_standard_says() -> None:
    assert sheets.line(["a", 'b"c', "1"]) == '"a","b""c","1"\r\n'
