"""What goes with the message that a report was made: its PDF, where it is small enough to be sent."""

from typing import Final

from apps.reporting.channels.base import Attachment
from apps.reporting.models import Delivery, FileFormat, Report
from apps.reporting.reports import selectors
from apps.reporting.reports.making import COMPLETED

LARGEST: Final = 8 * 2**20  # bytes: mail servers refuse more, bots at 50 MB


def of(row: Delivery) -> Attachment | None:
    """Return what is attached to a delivery; None for any but that of a report that is there."""
    noun, _, number = row.subject.partition(":")
    if row.kind != COMPLETED or noun != "report" or not number.isdigit():
        return None
    report = Report.objects.defer("figures").filter(pk=int(number), account_id=row.account_id or 0).first()
    content = selectors.file(report, FileFormat.PDF) if report else None
    if report is None or content is None or len(content) > LARGEST:
        return None
    return Attachment(name=f"{report.file_name}.pdf", content=content)
