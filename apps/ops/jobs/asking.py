"""What people ask of jobs: run one now, pause it, let it go on, change or delete it. Each is an event with who."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from apps.domain.errors import Problem, Refused
from apps.journal import services as journal
from apps.ops.jobs import locks
from apps.ops.jobs.models import Job, JobRun, State

_OPEN = (State.WAITING, State.RUNNING)


def run_now(job_id: int, *, actor: str, now: datetime) -> JobRun:
    """Make a run of a job besides its timetable, paused or not; the beat calls a worker within a second.

    Raises Refused while one that somebody asked for is not over.
    """
    with transaction.atomic():
        job = _locked(job_id)
        asked = job.runs.filter(state__in=_OPEN).exclude(asked_by="").first()
        if asked is not None:
            raise Refused(_problem("job", job.name, f"{asked.asked_by} asked already", "wait until that run is over"))
        run = JobRun.objects.create(job=job, slot=now, due_at=now, asked_by=actor or "somebody")
        payload = {"job": job.name, "run": run.pk}
        journal.record("job.requested", f"job:{job.pk}", payload=payload, actor=actor)
    return run


def switch(job_id: int, *, enabled: bool, actor: str, now: datetime) -> bool:
    """Pause a job or let it go on from now; slots of the pause are not made up for. False when it is so already."""
    with transaction.atomic():
        job = _locked(job_id)
        if job.enabled == enabled:
            return False
        job.enabled = enabled
        _saved(job, {"enabled": enabled}, actor, now)
    return True


def changed(job: Job, changes: Mapping[str, Any], *, actor: str, now: datetime) -> None:
    """Store a job that a person made or edited; it is due by its new rule from now on."""
    with transaction.atomic():
        if job.pk is not None:
            locks.job(job.pk)  # the beat may be serving it; what it remembers of it is replaced
        _saved(job, changes, actor, now)


def delete(job_id: int, *, actor: str) -> None:
    """Delete a job and its runs; one that the code knows is made anew at the next start. Raises Refused."""
    with transaction.atomic():
        job = _locked(job_id)
        payload = {"job": job.name, "rule": job.rule, "runs": job.runs.count()}
        journal.record("job.deleted", f"job:{job.pk}", payload=payload, actor=actor)
        job.delete()


def _saved(job: Job, changes: Mapping[str, Any], actor: str, now: datetime) -> None:
    job.served_until, job.next_at, job.problem = now, None, ""
    job.save()
    payload = {"job": job.name, "changes": {name: str(value) for name, value in changes.items()}}
    journal.record("job.changed", f"job:{job.pk}", payload=payload, actor=actor)


def _locked(job_id: int) -> Job:
    job = locks.job(job_id)
    if job is None:
        raise Refused(_problem("job", str(job_id), "is not there any more", "look at the list of jobs"))
    return job


def _problem(field: str, value: str, rule: str, remedy: str) -> Problem:
    return Problem(field=field, value=value, rule=rule, remedy=remedy)
