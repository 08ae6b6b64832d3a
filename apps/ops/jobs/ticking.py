"""What the leading beat does at each tick: every slot that has come becomes a row, once, whoever else does the same.

Three things hold the promise, each alone: the epoch of the lease, kept leading until the transaction ends; the job's
row, locked, which remembers up to when its slots were served; and the unique index of (job, slot).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from apps.journal import leases
from apps.journal import services as journal
from apps.ops.jobs import locks, rules
from apps.ops.jobs.models import Job, JobRun, Missed, State

ROLE: Final = "beat"
MOST: Final = 500  # slots written in one transaction; the rest follows in the next ones
AGAIN: Final = timedelta(minutes=1)  # when a rule that cannot be answered is asked again
_STEP: Final = timedelta.resolution


class Deposed(Exception):
    """Another beat leads; what this one was about to write was not written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """How many runs a tick made for workers, and how many slots it skipped."""

    made: int = 0
    skipped: int = 0

    def __add__(self, other: "Ticked") -> "Ticked":
        """Add up."""
        return Ticked(made=self.made + other.made, skipped=self.skipped + other.skipped)


def tick(now: datetime, *, epoch: int) -> Ticked:
    """Write a run for every slot up to and at `now` that has none yet; each job in a transaction of its own.

    Raises Deposed when `epoch` does not lead any more.
    """
    total, answers = Ticked(), rules.Answers()
    for pk in _to_look_at(now):
        total += _serve(pk, now, epoch, answers)
    return total


def _to_look_at(now: datetime) -> list[int]:
    enabled = Job.objects.filter(enabled=True).order_by("pk")
    return [pk for pk, at in enabled.values_list("pk", "next_at") if at is None or at <= now]


def _serve(pk: int, now: datetime, epoch: int, answers: rules.Answers) -> Ticked:
    with transaction.atomic():
        if not leases.holds(ROLE, epoch):
            raise Deposed(f"epoch {epoch} does not lead any more")
        job = locks.job(pk)
        if job is None or not job.enabled or (job.next_at is not None and job.next_at > now):
            return Ticked()
        job.served_until = job.served_until or now
        try:
            due = answers.slots(job, job.served_until, now + _STEP)
        except rules.UNANSWERED as error:
            _unanswered(job, now, error)  # what it lacks may come: the slots since are served then
            done = Ticked()
        else:
            done = _write(job, due, now, epoch)
            _advance(job, due, now, answers)
        job.save(update_fields=("served_until", "next_at", "problem"))
        return done


def _write(job: Job, due: Sequence[datetime], now: datetime, epoch: int) -> Ticked:
    kept = _worth_running(job, due, now)
    runs = [_run(job, slot, now, epoch, wanted=slot in kept) for slot in due[:MOST]]
    JobRun.objects.bulk_create(runs, ignore_conflicts=True)
    skipped = [run.slot for run in runs if run.state == State.SKIPPED]
    if skipped:
        payload = {"job": job.name, "slots": len(skipped), "first": str(skipped[0]), "last": str(skipped[-1])}
        journal.record("job.skipped", f"job:{job.pk}", payload=payload)
    return Ticked(made=len(runs) - len(skipped), skipped=len(skipped))


def _worth_running(job: Job, due: Sequence[datetime], now: datetime) -> set[datetime]:
    """Return the slots that are in time, and of those that were missed what the job says."""
    kept = {slot for slot in due if now - slot <= job.grace}
    if job.missed == Missed.ALL:
        kept.update(due)
    elif job.missed == Missed.LATEST:
        kept.update(due[-1:])
    return kept


def _run(job: Job, slot: datetime, now: datetime, epoch: int, *, wanted: bool) -> JobRun:
    state, ended_at = (State.WAITING, None) if wanted else (State.SKIPPED, now)
    return JobRun(job=job, slot=slot, due_at=slot, epoch=epoch, state=state, ended_at=ended_at)


def _advance(job: Job, due: Sequence[datetime], now: datetime, answers: rules.Answers) -> None:
    job.problem = ""
    if len(due) > MOST:
        job.served_until, job.next_at = due[MOST - 1] + _STEP, due[MOST]
        return
    job.served_until = now + _STEP
    try:
        job.next_at = answers.next_after(job, now)
    except rules.UNANSWERED as error:
        _unanswered(job, now, error)


def _unanswered(job: Job, now: datetime, error: Exception) -> None:
    job.problem = rules.sentence(error)
    job.next_at = now + AGAIN
