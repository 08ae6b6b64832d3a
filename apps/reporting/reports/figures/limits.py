"""Which limits were broken, and which wishes to enter were refused?"""

from typing import Any, Final

from django.db.models import Q

from apps.domain import numbers
from apps.domain.restrictions import Scope
from apps.reporting.reports.periods import Period
from apps.reporting.reports.subjects import Subject
from apps.trading.models import Decision, Violation

MOST: Final = 50
# The first rule that said no is the reason of a refusal.
_REFUSED = """
SELECT coalesce(jsonb_path_query_first(d.verdicts, '$[*] ? (@.allowed == false).rule') #>> '{{}}', ''), count(*)
FROM trading_decision d
WHERE NOT d.approved AND d.account_id = ANY(%(accounts)s) AND d.at >= %(since)s AND d.at < %(until)s {strategy}
GROUP BY 1 ORDER BY 2 DESC, 1
"""


def of(subject: Subject, period: Period) -> dict[str, Any]:
    """Return violations and refusals as plain values."""
    selection = subject.selection(period)
    strategy = "AND d.strategy_id = %(strategy)s" if subject.strategy else ""
    return {
        "violations": [_violation(row) for row in _violations(subject, period)[:MOST]],
        "refused": [
            [rule or "the wish itself", count] for rule, count in selection.ask(_REFUSED.format(strategy=strategy))
        ],
        "refusals": [_refusal(row) for row in _refusals(subject, period)[:MOST]],
    }


def _violations(subject: Subject, period: Period) -> Any:
    open_then = Q(ended_at=None) | Q(ended_at__gte=period.since)
    rows = Violation.objects.filter(open_then, account=subject.account, began_at__lt=period.until)
    if subject.strategy:
        rows = rows.filter(scope=Scope.STRATEGY, target=subject.strategy.pk)
    return rows.order_by("-began_at", "-id")


def _refusals(subject: Subject, period: Period) -> Any:
    rows = Decision.objects.filter(approved=False, account=subject.account, at__gte=period.since, at__lt=period.until)
    rows = rows.filter(strategy_id=subject.strategy.pk) if subject.strategy else rows
    return rows.select_related("instrument", "strategy").order_by("-id")


def _violation(row: Violation) -> dict[str, Any]:
    return {
        "rule": row.rule,
        "sentence": row.sentence,
        "number": row.number,
        "bound": row.bound,
        "action": str(row.action),
        "acted_at": row.acted_at.isoformat() if row.acted_at else None,
        "began_at": row.began_at.isoformat(),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
    }


def _refusal(row: Decision) -> dict[str, Any]:
    asked = row.strategy.name if row.strategy else row.actor or row.source
    wish = f"{row.side} {numbers.plain(row.quantity)} {row.instrument.symbol}"
    return {"at": row.at.isoformat(), "wish": wish, "asked_by": asked, "reason": row.reason}
