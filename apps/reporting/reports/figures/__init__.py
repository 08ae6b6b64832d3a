"""Everything a report says, counted once and kept: plain values that JSON can hold, decimals as text."""

from datetime import datetime
from typing import Any, Final

from apps.reporting.models import ReportKind
from apps.reporting.reports import incidents, snapshots
from apps.reporting.reports.figures import comparing, limits, money, preparing, quality, trading
from apps.reporting.reports.periods import Period
from apps.reporting.reports.subjects import Subject

VERSION: Final = 1  # of the shape of the figures; sections read only their own


def of(subject: Subject, period: Period, calendar: str, now: datetime) -> dict[str, Any]:
    """Count everything. `now` is when the report is made. Raises what the statistics raise."""
    with snapshots.one():
        counted = {"money": money.of(subject, period, now), "trading": trading.of(subject, period)}
    found: dict[str, Any] = {
        "version": VERSION,
        "kind": str(period.kind),
        "account": {"id": subject.account.pk, "name": subject.account.name, "currency": subject.account.currency},
        "strategy": subject.strategy.name if subject.strategy else "",
        "calendar": calendar,
        "day": period.day.isoformat(),
        "since": period.since.isoformat(),
        "until": period.until.isoformat(),
        "made_at": now.isoformat(),
        **counted,
        "limits": limits.of(subject, period),
        "quality": quality.of(subject, period),
        "incidents": incidents.of(subject, period),
        "comparisons": [],
        "preparing": None,
    }
    if period.kind == ReportKind.MORNING:
        found["preparing"] = preparing.of(subject, now)
    else:
        found["comparisons"] = comparing.of(subject, period, now)
    return found
