"""Key figures for years: one row a minute and series, and one an hour once they are a few days old."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db import connection

from apps.journal.models import Measure

MINUTES_KEPT: Final = timedelta(days=3)
HOURS_KEPT: Final = timedelta(days=800)
MOST: Final = 1000  # series a minute: a site with more instruments than that keeps the first of them
LARGEST: Final = 1e19
_STORE = """
INSERT INTO journal_measure (name, labels, at, value)
SELECT name, labels, %s, value FROM unnest(%s::text[], %s::text[], %s::numeric[]) AS new (name, labels, value)
ON CONFLICT (name, labels, at) DO NOTHING
"""
# Of every series the first value of each hour stays; looked for only where minutes have just become too old.
_THIN = """
DELETE FROM journal_measure m USING (
    SELECT id, row_number() OVER (PARTITION BY name, labels, date_trunc('hour', at) ORDER BY at) AS place
    FROM journal_measure WHERE at >= %s AND at < %s
) AS old WHERE m.id = old.id AND old.place > 1
"""


class Sample(NamedTuple):
    """One figure: its name, its labels as Prometheus writes them, its value."""

    name: str
    labels: str
    value: float


def store(samples: Sequence[Sample], at: datetime) -> int:
    """Write figures of a minute and return how many were new; a minute that is written twice stays as it was."""
    rows = [each for each in samples if abs(each.value) < LARGEST][:MOST]  # and no number that is none
    if not rows:
        return 0
    names, labels, values = zip(*rows, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_STORE, [at.replace(second=0, microsecond=0), list(names), list(labels), list(values)])
        return int(cursor.rowcount)


def latest(names: Collection[str], since: datetime) -> list[Measure]:
    """Return the newest value of each series of these names that is no older than `since`."""
    rows = Measure.objects.filter(name__in=names, at__gte=since).order_by("name", "labels", "-at")
    return list(rows.distinct("name", "labels"))


def thin(now: datetime) -> int:
    """Keep one value an hour of what is days old, and nothing that is years old; return how many rows went."""
    until = (now - MINUTES_KEPT).replace(minute=0, second=0, microsecond=0)
    gone = Measure.objects.filter(at__lt=now - HOURS_KEPT).delete()[0]
    with connection.cursor() as cursor:
        # A week back: rows that were left when this did not run for a while.
        cursor.execute(_THIN, [until - timedelta(days=7), until])
        return int(gone + cursor.rowcount)
