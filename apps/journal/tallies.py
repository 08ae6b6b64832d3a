"""How tasks are doing: counts of all workers together, added up as each worker tells what it has counted since."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from django.db import connection

BUCKETS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0)  # seconds; one more for what took longer
_ADD = """
INSERT INTO journal_tasktally AS t (task, queue, done, failed, ran, runs, waited, waits)
VALUES (%s, %s, %s, %s, make_interval(secs => %s), %s::bigint[], make_interval(secs => %s), %s::bigint[])
ON CONFLICT (task) DO UPDATE SET queue = excluded.queue, done = t.done + excluded.done,
    failed = t.failed + excluded.failed, ran = t.ran + excluded.ran,
    waited = t.waited + excluded.waited,
    runs = (SELECT array_agg(coalesce(a, 0) + coalesce(b, 0) ORDER BY n)
        FROM unnest(t.runs, excluded.runs) WITH ORDINALITY AS both_of (a, b, n)),
    waits = (SELECT array_agg(coalesce(a, 0) + coalesce(b, 0) ORDER BY n)
        FROM unnest(t.waits, excluded.waits) WITH ORDINALITY AS both_of (a, b, n))
"""


class Counted(NamedTuple):
    """What one task came to since it was last told; buckets hold counts of their own, not cumulative ones."""

    task: str
    queue: str
    done: int
    failed: int
    run_seconds: float
    runs: Sequence[int]
    wait_seconds: float
    waits: Sequence[int]


def add(counted: Iterable[Counted]) -> None:
    """Add counts to those of all workers."""
    rows = sorted(counted)
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            _ADD,
            [
                (c.task, c.queue, c.done, c.failed, c.run_seconds, list(c.runs), c.wait_seconds, list(c.waits))
                for c in rows
            ],
        )
