"""Jobs with how their last run went, for the admin, the doctor and the command."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from apps.domain import exchanges
from apps.ops.jobs.models import Job, JobRun, State

_OVER = (State.DONE, State.FAILED)
_LAST = ("slot", "state", "started_at", "ended_at", "duration", "result", "error")


def jobs() -> QuerySet[Job]:
    """Return the jobs, each with `last_id`, `last_slot`, `last_state`, ... of its newest run that began."""
    begun = JobRun.objects.filter(job=OuterRef("pk"), started_at__isnull=False).order_by("-started_at", "-pk")
    columns: dict[str, Any] = {f"last_{name}": Subquery(begun.values(name)[:1]) for name in ("pk", *_LAST)}
    return Job.objects.annotate(**columns)


def runs(job_id: int) -> QuerySet[JobRun]:
    """Return the runs of a job, newest first."""
    return JobRun.objects.filter(job_id=job_id)


def failing() -> list[JobRun]:
    """Return the newest run of each enabled job whose newest run that ended failed."""
    newest = JobRun.objects.filter(state__in=_OVER, job__enabled=True).order_by("job_id", "-ended_at", "-pk")
    return [run for run in newest.distinct("job_id").select_related("job") if run.state == State.FAILED]


def overdue(now: datetime, *, by: timedelta) -> list[Job]:
    """Return enabled jobs that the beat has not looked at although they were due."""
    return list(Job.objects.filter(enabled=True, next_at__lt=now - by))


def unanswered() -> list[Job]:
    """Return enabled jobs that have no next run, with why."""
    return list(Job.objects.filter(enabled=True).exclude(problem=""))


def waiting(now: datetime, *, longer_than: timedelta) -> list[JobRun]:
    """Return runs that no worker has taken for a while."""
    rows = JobRun.objects.filter(state=State.WAITING, due_at__lt=now - longer_than, attempts=0)
    return list(rows.select_related("job").order_by("due_at")[:20])


def tally() -> dict[str, int]:
    """Return how many jobs there are, and how many of them are enabled."""
    counted = Job.objects.aggregate(jobs=Count("pk"), enabled=Count("pk", filter=Q(enabled=True)))
    return {name: int(value) for name, value in counted.items()}


def calendars() -> set[str]:
    """Return the known calendars that jobs go by."""
    named = set(Job.objects.values_list("calendar", flat=True).distinct())
    return named & set(exchanges.names())
