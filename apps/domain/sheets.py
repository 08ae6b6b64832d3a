"""How is a table written so that no spreadsheet takes a cell for a formula? As CSV, quoted, formulas disarmed."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_TRIGGERS: Final = frozenset("=+-@|%\t\r\n")


def line(cells: Iterable[str]) -> str:
    """Return one line of CSV: every cell in quotes, CRLF at the end (RFC 4180)."""
    return ",".join(['"' + disarmed(cell).replace('"', '""') + '"' for cell in cells]) + "\r\n"


def disarmed(text: str) -> str:
    """Return a text with an apostrophe before it where a spreadsheet might compute it; plain numbers stay as they are.

    Spreadsheets look past leading blanks and invisible signs, and take full-width signs for the plain ones.
    """
    if not text or (text[0].isascii() and text[0].isalnum()) or _NUMBER.fullmatch(text):
        return text
    seen = next((sign for sign in unicodedata.normalize("NFKC", text) if not _is_passed_over(sign)), "")
    return f"'{text}" if seen in _TRIGGERS or text[0] in _TRIGGERS else text


def _is_passed_over(sign: str) -> bool:
    return sign.isspace() or sign in "\"'" or unicodedata.category(sign) in ("Cc", "Cf", "Zs")
