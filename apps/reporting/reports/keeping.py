"""How long are reports kept? The finer, the shorter; those of months for ever."""

from datetime import datetime, timedelta
from typing import Final

from apps.reporting.models import Report, ReportKind, ReportState

KEPT: Final = {
    ReportKind.MORNING: timedelta(days=30),
    ReportKind.DAILY: timedelta(days=400),
    ReportKind.WEEKLY: timedelta(days=1100),
}


def prune(now: datetime) -> int:
    """Delete reports whose time is over with their files, and return how many reports."""
    ended = Report.objects.filter(state__in=(ReportState.MADE, ReportState.FAILED))
    counts = [ended.filter(kind=kind, until__lt=now - kept).delete()[1] for kind, kept in KEPT.items()]
    return sum(each.get(Report._meta.label, 0) for each in counts)
