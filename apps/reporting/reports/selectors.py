"""Reading reports: each person those of their accounts. Figures and files are left in the database until asked for."""

from django.db.models import QuerySet

from apps.reporting.models import FileFormat, Report, ReportFile, ReportState
from apps.reporting.reports import sections
from apps.reporting.reports.document import Document, Table
from apps.reporting.reports.rendering import sheets
from apps.trading import selectors
from apps.trading.selectors import Caller


def reports(user: Caller) -> QuerySet[Report]:
    """Return the reports a person may see, the newest first, without their figures."""
    rows = Report.objects.select_related("account", "strategy").defer("figures")
    return selectors.hanging_on(rows, user).order_by("-until", "-id")


def report(user: Caller, report_id: int) -> Report | None:
    """Return a report a person may see with its figures, or None."""
    rows = selectors.hanging_on(Report.objects.select_related("account", "strategy"), user)
    return rows.filter(pk=report_id).first()


def file(row: Report, kind: FileFormat) -> bytes | None:
    """Return a file of a report, None before it was made. Raises ValueError when it was changed since."""
    found = ReportFile.objects.filter(report=row, format=kind).first()
    return found.unpacked() if found else None


def files(row: Report) -> list[ReportFile]:
    """Return what files a report has, without their content."""
    return list(ReportFile.objects.filter(report=row).defer("content").order_by("format"))


def document(row: Report) -> Document | None:
    """Return the document of a report's figures, None before they were counted."""
    return sections.of(row.figures) if row.figures else None


def tables(row: Report) -> list[Table]:
    """Return the tables of a report that have rows."""
    found = document(row)
    return [table for table in found.tables if table.rows] if found else []


def csv(row: Report, name: str) -> str | None:
    """Return a table of a report as CSV, None when it has no such table."""
    return next((sheets.written(table) for table in tables(row) if table.name == name), None)


def archive(row: Report) -> bytes | None:
    """Return all tables of a report as CSV files in a ZIP archive, None before it was made."""
    found = document(row)
    return sheets.zipped(found) if found and row.state == ReportState.MADE else None
