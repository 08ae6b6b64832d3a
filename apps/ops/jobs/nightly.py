"""Backups and drills as jobs: begun in a process of their own, asked after until they are over."""

from datetime import datetime, timedelta
from typing import Final

from apps.domain.errors import Unavailable
from apps.ops.backups import launching, schedule, selectors
from apps.ops.backups.models import BackupRun, Kind, Status
from apps.ops.jobs.running import NotYet

ASK_AGAIN: Final = timedelta(seconds=20)
TRY_AGAIN: Final = schedule.PAUSE


def see_to(kind: Kind, *, slot: datetime, now: datetime) -> str:
    """Return what came of the backup or drill of a slot, having begun it unless one was begun since.

    Raises NotYet while it runs or is to be tried again, and Unavailable for good after as many failures as allowed.
    """
    runs = selectors.since(kind, slot)
    done = next((run for run in runs if run.status == Status.DONE), None)
    if done is not None:
        return f"{done.name or kind.value}: {done.sentence}"
    newest = runs[0] if runs else None
    if newest is not None and newest.status == Status.RUNNING and now - newest.started_at < schedule.PAUSE:
        raise NotYet(f"the {kind.value} runs since {newest.started_at:%H:%M:%S}", after=ASK_AGAIN)
    if newest is not None and newest.status == Status.FAILED:
        _judge(kind, runs, newest, now)
    launching.begin(kind)
    raise NotYet(f"the {kind.value} was begun at {now:%H:%M:%S}", after=ASK_AGAIN, counts=True)


def _judge(kind: Kind, runs: list[BackupRun], newest: BackupRun, now: datetime) -> None:
    if len(runs) >= schedule.ATTEMPTS:
        raise Unavailable(f"the {kind.value} failed {len(runs)} times: {newest.sentence}", permanent=True)
    wait = newest.started_at + TRY_AGAIN - now
    if wait > timedelta(0):
        raise NotYet(f"the {kind.value} failed: {newest.sentence}; it is tried again", after=wait)
