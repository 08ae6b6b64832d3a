"""How does a table of a report become CSV? With whole digits, and nothing that a spreadsheet takes for a formula."""

import io
import zipfile
from collections.abc import Iterator

from apps.domain import sheets
from apps.reporting.reports.document import Document, Table


def written(table: Table) -> str:
    """Return a table as CSV with its heads."""
    return "".join(_lines(table))


def zipped(document: Document) -> bytes:
    """Return every table that has rows as CSV files in one archive; the same document gives the same bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for table in document.tables:
            if table.rows:
                entry = zipfile.ZipInfo(f"{table.name}.csv", date_time=(1980, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, written(table))
    return made.getvalue()


def _lines(table: Table) -> Iterator[str]:
    yield sheets.line(table.heads)
    for row in table.rows:
        yield sheets.line(cell.raw for cell in row)
