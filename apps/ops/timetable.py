"""The timetable as rows a person may edit: missing ones are made, none is ever overwritten."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from apps.ops.jobs import models
from apps.ops.jobs.planned import Planned

BUILT_IN = frozenset({"celery.backend_cleanup"})  # beat's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One thing to do again and again. It must do no harm when two beats start it twice, or none starts it for a while.

    `expires` is how long a start may wait for a worker: what waited longer is not worth doing any more.
    """

    name: str
    task: str
    every: timedelta
    queue: str
    description: str
    expires: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """How the rows compare with the code, as names; unknown are rows that no job of the code has."""

    missing: tuple[str, ...]
    edited: tuple[str, ...]
    switched_off: tuple[str, ...]
    unknown: tuple[str, ...]


def complete(jobs: Iterable[Job]) -> list[str]:
    """Make the rows that are missing and return their names; rows that exist stay as a person left them."""
    return [job.name for job in jobs if _make(job)]


def plan(planned: Iterable[Planned], now: datetime) -> list[str]:
    """Make the rows of calendar jobs that are missing and return their names; each is due from now on.

    A job that came every so often in an older version is moved: switched off as it was, its old row gone.
    """
    return [each.name for each in planned if _plan(each, now)]


def review_planned(planned: Sequence[Planned]) -> Review:
    """Compare the rows of calendar jobs with the code and change nothing."""
    rows = {row.name: row for row in models.Job.objects.all()}
    known = {each.name: each for each in planned}
    return Review(
        missing=tuple(sorted(known.keys() - rows.keys())),
        edited=tuple(sorted(name for name, each in known.items() if name in rows and _was_edited(rows[name], each))),
        switched_off=tuple(sorted(name for name in known if name in rows and not rows[name].enabled)),
        unknown=tuple(sorted(rows.keys() - known.keys())),
    )


def review(jobs: Sequence[Job]) -> Review:
    """Compare the rows with the code and change nothing."""
    rows = {row.name: row for row in PeriodicTask.objects.select_related("interval").exclude(name__in=BUILT_IN)}
    known = {job.name: job for job in jobs}
    return Review(
        missing=tuple(sorted(known.keys() - rows.keys())),
        edited=tuple(sorted(name for name, job in known.items() if name in rows and _differs(rows[name], job))),
        switched_off=tuple(sorted(name for name in known if name in rows and not rows[name].enabled)),
        unknown=tuple(sorted(rows.keys() - known.keys())),
    )


def _make(job: Job) -> bool:
    if PeriodicTask.objects.filter(name=job.name).exists():
        return False
    every, period = _interval(job.every)
    # Two of the same interval, made by two processes at once, do no harm; two jobs of one name cannot be.
    interval = IntervalSchedule.objects.filter(every=every, period=period).first()
    _, created = PeriodicTask.objects.get_or_create(
        name=job.name,
        defaults={
            "task": job.task,
            "interval": interval or IntervalSchedule.objects.create(every=every, period=period),
            "expire_seconds": round(job.expires.total_seconds()),
            "description": job.description,
        },
    )
    return bool(created)


def _differs(row: PeriodicTask, job: Job) -> bool:
    every = row.interval and (row.interval.every, row.interval.period)
    return bool((row.task, every, row.queue or job.queue) != (job.task, _interval(job.every), job.queue))


def _interval(every: timedelta) -> tuple[int, str]:
    seconds = round(every.total_seconds())
    for period, length in ((IntervalSchedule.HOURS, 3600), (IntervalSchedule.MINUTES, 60)):
        if seconds % length == 0:
            return seconds // length, str(period)
    return seconds, str(IntervalSchedule.SECONDS)


def _plan(planned: Planned, now: datetime) -> bool:
    with transaction.atomic():
        former = PeriodicTask.objects.filter(name=planned.name, task=planned.task).first()
        values = _values(planned)
        if former is not None:
            values["enabled"] = former.enabled
            former.delete()
        job, created = models.Job.objects.get_or_create(name=planned.name, defaults={**values, "served_until": now})
        if created and planned.at_once is not None:
            models.JobRun.objects.create(job=job, slot=now, due_at=now + planned.at_once)
    return created


def _values(planned: Planned) -> dict[str, Any]:
    names = {field.name for field in fields(Planned)} - {"name", "at_once"}
    return {name: getattr(planned, name) for name in names} | {"kwargs": dict(planned.kwargs)}


def _was_edited(row: models.Job, planned: Planned) -> bool:
    unlike = {name for name, value in _values(planned).items() if getattr(row, name) != value}
    return bool(unlike - {"enabled", "description"})
