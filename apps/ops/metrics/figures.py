"""How old backups are, and how jobs of the timetable stand."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Count, Max, Min

from apps.journal.figures import Figure, by, one
from apps.ops.backups.models import BackupRun, Status
from apps.ops.jobs.models import JobRun, State

LATELY: Final = timedelta(days=1)


def figures(now: datetime) -> Iterator[Figure]:
    """Yield the figures as of an instant."""
    yield from _backups(now)
    yield from _jobs(now)


def _backups(now: datetime) -> Iterator[Figure]:
    done = BackupRun.objects.filter(status=Status.DONE).values_list("kind").annotate(Max("started_at"))
    ages = {kind: (now - at).total_seconds() for kind, at in done.order_by("kind")}
    yield by("backup_age_seconds", "Since the last backup, or drill, that went well began.", "kind", ages)
    newest = BackupRun.objects.exclude(status=Status.RUNNING).order_by("kind", "-started_at").distinct("kind")
    failed = {row.kind: row.status == Status.FAILED for row in newest}
    yield by("backup_failed", "1 when the newest backup, or drill, that ended had failed.", "kind", failed)


def _jobs(now: datetime) -> Iterator[Figure]:
    runs = JobRun.objects.filter(ended_at__gte=now - LATELY).values_list("state").annotate(Count("id"))
    yield by("job_runs", "Runs of jobs that ended within a day, by how.", "state", dict(runs.order_by("state")))
    oldest = JobRun.objects.filter(state=State.WAITING, due_at__lt=now).aggregate(at=Min("due_at"))["at"]
    late = (now - oldest).total_seconds() if oldest else 0.0
    yield one("job_oldest_waiting_seconds", "How long the oldest run of a job has been due without a worker.", late)
