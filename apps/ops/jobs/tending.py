"""Runs that need somebody: those no worker was called to, and those whose worker is gone."""

import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from apps.ops.jobs import locks, running
from apps.ops.jobs.models import JobRun, State

RING_AGAIN: Final = timedelta(seconds=30)  # a call may be lost; one that waits longer than this has expired
MOST: Final = 100  # runs called for at once


class Call(NamedTuple):
    """A run that wants a worker, and what it is to do."""

    run_id: int
    task: str


def to_call(now: datetime) -> list[Call]:
    """Return the runs that are due and that no worker was called to lately, the oldest first."""
    quiet = Q(rung_at__isnull=True) | Q(rung_at__lte=now - RING_AGAIN)
    rows = JobRun.objects.filter(quiet, state=State.WAITING, due_at__lte=now).order_by("due_at", "pk")
    return [Call(*row) for row in rows.values_list("pk", "job__task")[:MOST]]


def called(run_ids: Iterable[int], now: datetime) -> None:
    """Write down that workers were called."""
    JobRun.objects.filter(pk__in=list(run_ids), state=State.WAITING).update(rung_at=now)


def revive(now: datetime) -> int:
    """Let runs whose worker is gone be taken again, or give them up after their last attempt; return how many."""
    rows = JobRun.objects.filter(state=State.RUNNING).values_list("pk", "worker", "until")
    lost = [pk for pk, worker, until in rows if _is_lost(worker, until, now)]
    return sum(_revive(pk, now) for pk in lost)


def _revive(pk: int, now: datetime) -> bool:
    with transaction.atomic():
        run = locks.running_run(pk)
        if run is None or not _is_lost(run.worker, run.until, now):
            return False
        said = f"its worker ({run.worker}) ended, or took longer than it may"
        if run.attempts >= run.job.attempts:
            return running.fail(pk, run.attempts, f"{said}; that was attempt {run.attempts}", now=now)
        run.state, run.due_at, run.rung_at, run.until, run.started_at = State.WAITING, now, None, None, None
        run.error = said
        run.save(update_fields=("state", "due_at", "rung_at", "until", "started_at", "error"))
    return True


def _is_lost(worker: str, until: datetime | None, now: datetime) -> bool:
    return until is None or until <= now or _is_gone(worker)


def _is_gone(worker: str) -> bool:
    """Say whether a process of this machine has ended; of another machine nothing is known but the time."""
    host, _, pid = worker.rpartition(" ")[2].rpartition(":")
    if host != settings.HOST_NAME or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
