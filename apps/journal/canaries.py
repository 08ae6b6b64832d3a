"""Is every queue served? A task is sent through each now and then, and the row says when one last arrived."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

from apps.journal.models import Canary

EVERY: Final = timedelta(seconds=30)
LATE_AFTER: Final = timedelta(seconds=60)
# Backtests keep every worker of their queue busy for as long as one takes.
PATIENT: Final = {"backtests": timedelta(minutes=35)}
_AGAIN: Final = timedelta(minutes=10)  # through such a queue, as long as the last one has not arrived
_CLAIM = """
INSERT INTO journal_canary AS c (queue, sent_at, since)
SELECT queue, %(now)s, %(now)s FROM unnest(%(queues)s) AS queue ORDER BY queue
ON CONFLICT (queue) DO UPDATE SET sent_at = excluded.sent_at,
    since = CASE WHEN c.answered_at >= c.sent_at THEN excluded.since ELSE c.since END
WHERE c.sent_at <= %(now)s - CASE WHEN c.queue = ANY(%(patient)s) AND (c.answered_at >= c.sent_at) IS NOT TRUE
    THEN %(again)s ELSE %(every)s END
RETURNING queue
"""


def patience(queue: str) -> timedelta:
    """Return how long a canary may take before its queue counts as not served."""
    return PATIENT.get(queue, LATE_AFTER)


def claim(queues: Iterable[str], now: datetime) -> list[str]:
    """Return the queues whose next canary is due; of many that ask at once one is told so."""
    asked: dict[str, Any] = {
        "now": now,
        "queues": list(queues),
        "every": EVERY,
        "patient": list(PATIENT),
        "again": _AGAIN,
    }
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, asked)
        return sorted(queue for (queue,) in cursor.fetchall())


def answer(queue: str, sent_at: datetime, now: datetime) -> None:
    """Write down that a worker ran a canary that was sent through a queue."""
    Canary.objects.filter(queue=queue).update(answered_at=now, took=max(now - sent_at, timedelta(0)))


def is_waiting(row: Canary) -> bool:
    """Say whether a canary is on its way, or lost."""
    return row.answered_at is None or row.answered_at < row.sent_at


def age(row: Canary, now: datetime) -> timedelta:
    """Return how long one has been waited for, or how long ago the last one arrived while none is on its way."""
    since = row.since if row.answered_at is None or is_waiting(row) else row.answered_at
    return max(now - since, timedelta(0))


def late(now: datetime) -> dict[str, timedelta]:
    """Return the queues through which a canary does not come, and for how long it has been waited for."""
    ages = {row.queue: age(row, now) for row in Canary.objects.all() if is_waiting(row)}
    return {queue: past for queue, past in ages.items() if past > patience(queue)}
