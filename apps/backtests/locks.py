"""Every row lock of backtests: who computes which trial, and who decides what comes after the last one.

Order of tables: study, trial. Trials are claimed by an UPDATE that skips rows another worker holds, in batches; a trial
whose worker gave no sign of life for STALE may be claimed again, and one whose worker is seen to be dead at once. The
attempt of a claim fences what a worker that was given up still writes.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.db import connection

from apps.backtests.models import Study, Trial

BEAT: Final = 1.0  # seconds between signs of life
STALE: Final = 6.0  # seconds without one, then somebody else may compute the trial
MOST_ATTEMPTS: Final = 10
TROUBLED: Final = 3  # attempts after which a trial is claimed alone: it may be what ends its workers


class Claim(NamedTuple):
    """A trial that this worker computes."""

    id: int
    number: int
    window: int
    parameters: dict[str, Any]
    attempt: int


class Settlement(NamedTuple):
    """What became of a claim: its figures, or why there are none."""

    claim: Claim
    measures: Mapping[str, Any] | None
    error: str = ""


_CLAIM = """
UPDATE backtests_trial AS t
SET state = 'running', attempt = t.attempt + 1, worker = %(worker)s, beat_at = clock_timestamp()
FROM (
    SELECT id FROM backtests_trial
    WHERE study_id = %(study)s AND attempt < %(below)s
        AND (state = 'queued' OR (state = 'running' AND beat_at < clock_timestamp() - make_interval(secs => %(stale)s)))
        AND EXISTS (SELECT 1 FROM backtests_study WHERE id = %(study)s AND state = 'running')
    ORDER BY attempt, number LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
) AS free
WHERE t.id = free.id
RETURNING t.id, t.number, t."window", t.parameters::text, t.attempt
"""
_BEAT = """
UPDATE backtests_trial AS t SET beat_at = clock_timestamp()
FROM unnest(%(ids)s::bigint[], %(attempts)s::int[]) AS held (id, attempt)
WHERE t.id = held.id AND t.attempt = held.attempt AND t.state = 'running'
"""
_SETTLE = """
UPDATE backtests_trial AS t
SET state = CASE WHEN s.measures IS NULL THEN 'failed' ELSE 'done' END, measures = s.measures::jsonb,
    error = s.error, results = t.results + 1, finished_at = clock_timestamp()
FROM unnest(%(ids)s::bigint[], %(attempts)s::int[], %(measures)s::text[], %(errors)s::text[])
    AS s (id, attempt, measures, error)
WHERE t.id = s.id AND t.attempt = s.attempt AND t.state = 'running'
"""
_RELEASE = """
UPDATE backtests_trial AS t SET state = 'queued', worker = '', beat_at = NULL
FROM unnest(%(ids)s::bigint[], %(attempts)s::int[]) AS held (id, attempt)
WHERE t.id = held.id AND t.attempt = held.attempt AND t.state = 'running'
"""
_GIVE_UP = """
UPDATE backtests_trial SET state = 'failed', results = results + 1, finished_at = clock_timestamp(),
    error = format('its worker ended %%s times while computing it', attempt)
WHERE study_id = %(study)s AND attempt >= %(most)s
    AND (state = 'queued' OR (state = 'running' AND beat_at < clock_timestamp() - make_interval(secs => %(stale)s)))
"""


def claim(study_id: int, worker: str, limit: int) -> list[Claim]:
    """Claim up to `limit` trials of a running study that nobody computes, in the order of their numbers."""
    return _claimed(study_id, worker, limit, TROUBLED) or _claimed(study_id, worker, 1, MOST_ATTEMPTS)


def beat(claims: Sequence[Claim]) -> None:
    """Say that this worker still computes these trials."""
    _update(_BEAT, claims)


def settle(settlements: Sequence[Settlement]) -> int:
    """Write results of trials that are still this worker's and return how many were."""
    told = [None if each.measures is None else json.dumps(each.measures) for each in settlements]
    errors = [each.error[:2000] for each in settlements]
    return _update(_SETTLE, [each.claim for each in settlements], measures=told, errors=errors)


def release(claims: Sequence[Claim]) -> int:
    """Give trials back that this worker will not finish."""
    return _update(_RELEASE, claims)


def workers(study_id: int) -> set[str]:
    """Name those who have claims on trials of a study."""
    running = Trial.objects.filter(study_id=study_id, state=Trial.State.RUNNING)
    return set(running.order_by().values_list("worker", flat=True).distinct())


def release_of(study_id: int, worker: str) -> int:
    """Give back what a worker had claimed that is known to be dead; return how much."""
    running = Trial.objects.filter(study_id=study_id, state=Trial.State.RUNNING, worker=worker)
    return running.update(state=Trial.State.QUEUED, worker="", beat_at=None)


def give_up(study_id: int) -> int:
    """Settle trials as failed that ended their worker MOST_ATTEMPTS times; return how many there were."""
    with connection.cursor() as cursor:
        cursor.execute(_GIVE_UP, {"study": study_id, "most": MOST_ATTEMPTS, "stale": STALE})
        return int(cursor.rowcount)


def study(study_id: int) -> Study | None:
    """Lock a running study whose trials are all computed, to decide what comes next; None when it is not so."""
    found = Study.objects.select_for_update(of=("self",)).filter(pk=study_id, state=Study.State.RUNNING).first()
    unfinished = Trial.objects.filter(study_id=study_id, state__in=[Trial.State.QUEUED, Trial.State.RUNNING])
    return None if found is None or unfinished.exists() else found


def _claimed(study_id: int, worker: str, limit: int, below: int) -> list[Claim]:
    values: dict[str, Any] = {"study": study_id, "worker": worker, "limit": limit, "below": below, "stale": STALE}
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, values)
        rows = cursor.fetchall()
    claims = [Claim(row[0], row[1], row[2], json.loads(row[3]), row[4]) for row in rows]
    return sorted(claims, key=lambda each: each.number)


def _update(statement: str, claims: Sequence[Claim], **columns: list[Any]) -> int:
    if not claims:
        return 0
    keys: dict[str, list[Any]] = {"ids": [each.id for each in claims], "attempts": [each.attempt for each in claims]}
    with connection.cursor() as cursor:
        cursor.execute(statement, {**keys, **columns})
        return int(cursor.rowcount)
