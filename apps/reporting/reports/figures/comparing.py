"""How far did trading drift from its backtest?"""

from datetime import datetime
from typing import Any, Final

from apps.domain.backtests import drift
from apps.domain.errors import Refused, Unavailable
from apps.reporting import comparing
from apps.reporting.comparing import Comparison
from apps.reporting.reports.periods import Period
from apps.reporting.reports.subjects import Subject, followed
from apps.trading.models import Allocation
from apps.trading.statistics import plain

MOST_BARS: Final = 150_000  # of all instruments of a strategy: more would keep a worker busy for minutes
_WHY: Final = 5


def of(subject: Subject, period: Period, now: datetime) -> list[dict[str, Any]]:
    """Return a row for each strategy that the account follows: both worlds side by side, or why that cannot be."""
    rows = followed(subject.account)
    if subject.strategy:
        rows = [row for row in rows if row.strategy_id == subject.strategy.pk]
    return [{"strategy": row.strategy.name, **_compared(row, period, now)} for row in rows if row.enabled]


def _compared(allocation: Allocation, period: Period, now: datetime) -> dict[str, Any]:
    bars = (period.until - period.since).total_seconds() / allocation.strategy.bar_seconds
    bars *= max(allocation.strategy.instruments.count(), 1)
    if bars > MOST_BARS:
        return {"why_not": f"{bars:,.0f} bars are too many for a report: `manage.py compare` takes any number."}
    try:
        found = comparing.compare(allocation, since=period.since, until=period.until, now=now)
    except (Refused, Unavailable) as error:
        return {"why_not": str(error)}
    return _told(found)


def _told(found: Comparison) -> dict[str, Any]:
    sums = drift.totals(found.drift)
    without = [("missed", one, drift.why(one, found.stances, missed=True)) for one in found.drift.missed]
    without += [("extra", one, drift.why(one, found.stances, missed=False)) for one in found.drift.extra]
    reasons: dict[str, int] = {}
    for word, _, why in without:
        reasons[f"{word}: {why}"] = reasons.get(f"{word}: {why}", 0) + 1
    return {
        "agreement": found.stances.agreement,
        "bars": found.stances.same,
        "totals": plain.of(sums),
        "without": sorted(reasons.items(), key=lambda each: -each[1])[:_WHY],
        "notes": list(found.notes),
    }
