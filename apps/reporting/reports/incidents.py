"""What went wrong, by the journal? Events that people are warned of, in the words they are told in.

Of what belongs to no account only kinds that concern everybody are told, and only their titles.
"""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Max, Min, Q

from apps.domain.errors import Refused
from apps.journal.models import Event
from apps.reporting import templating, wording
from apps.reporting.reports.periods import Period
from apps.reporting.reports.subjects import Subject, followed
from apps.reporting.severity import Severity, at_least

MOST: Final = 60
READ: Final = 2000
_LONGEST_TRANSACTION: Final = timedelta(minutes=2)  # an event bears the time at which its transaction began
_EVERYBODYS: Final = ("feed.", "trading.", "backup.", "calendar.", "job.", "process.", "alert.", "upgrade.", "beat.")


def of(subject: Subject, period: Period) -> dict[str, Any]:
    """Return how many warnings of each kind there were, and the newest in words."""
    loud = at_least(Severity.WARNING)
    kinds = [kind for kind, words in wording.KINDS.items() if words.severity in loud]
    rows = Event.objects.filter(id__gte=first_number(period.since), at__gte=period.since, at__lt=period.until)
    mine = _mine(subject)
    events = list(rows.filter(mine, kind__in=kinds).order_by("-id")[:READ])
    counts = Counter(event.kind for event in events)
    return {
        "counts": [[kind, count] for kind, count in counts.most_common()],
        "rows": [_row(event, subject.account.name) for event in events[:MOST]],
    }


def first_number(at: datetime) -> int:
    """Return a number below which no event lies that was written at an instant or later: numbers grow with time."""
    ends = Event.objects.aggregate(first=Min("id"), last=Max("id"))
    low, high, sought = ends["first"] or 0, ends["last"] or 0, at - _LONGEST_TRANSACTION
    while low < high:
        middle = (low + high) // 2
        row = Event.objects.filter(id__gt=middle, id__lte=high).order_by("id").values_list("at", flat=True).first()
        if row is None or row >= sought:
            high = middle
        else:
            low = middle + 1
    return low


def _mine(subject: Subject) -> Q:
    strategies = [subject.strategy.pk] if subject.strategy else [each.strategy_id for each in followed(subject.account)]
    everybodys = Q()
    for start in _EVERYBODYS:
        everybodys |= Q(kind__startswith=start)
    own = Q(subject__in=[f"strategy:{key}" for key in strategies])
    return Q(account_id=subject.account.pk) | Q(account_id=None) & (everybodys | own)


def _row(event: Event, account: str) -> dict[str, Any]:
    words = wording.of(event.kind)
    facts = {
        **event.payload,
        "subject": event.subject,
        "actor": event.actor,
        "kind": event.kind,
        "account_name": account,
    }
    try:
        told = " ".join(templating.render(words.title, facts).split())
    except Refused:
        told = event.kind
    return {"at": event.at.isoformat(), "kind": event.kind, "severity": str(words.severity), "told": told or event.kind}
