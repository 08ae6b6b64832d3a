"""The tasks of `backtests`."""

from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from apps.backtests.services import runs, sweeps
from workers import calls, identity

_LIMIT = int(runs.RUN_LIMIT.total_seconds())
TURN = 3.0  # seconds of computing before other tasks of the queue have theirs


@shared_task(name="backtests.run", soft_time_limit=_LIMIT, time_limit=_LIMIT + 30)
def run(*, run_id: int, **_later: Any) -> None:
    """Compute a run, unless somebody else does; switched off, it waits and is called for again."""
    if settings.RUN_BACKTESTS:
        runs.execute(run_id, worker=identity.of_this_process())


@shared_task(name="backtests.requeue")
def requeue(**_later: Any) -> None:
    """Call for runs that wait although their call is long gone, and for those whose worker fell silent."""
    for run_id in runs.requeue(timezone.now()):
        run.apply_async(kwargs={"run_id": run_id}, expires=60)


@shared_task(name="backtests.trials", soft_time_limit=_LIMIT, time_limit=_LIMIT + 30)
def trials(*, study_id: int, **_later: Any) -> None:
    """Compute trials of a search for a few seconds, then let other work have its turn."""
    if not settings.RUN_BACKTESTS:
        return
    done = sweeps.turn(study_id, identity.of_this_process(), seconds=TURN, now=timezone.now())
    if done.more:
        calls.call(trials.name, study_id)


@shared_task(name="backtests.tend")
def tend(**_later: Any) -> None:
    """Call workers for searches that have trials nobody computes."""
    for study_id in sweeps.unfinished():
        for _ in range(sweeps.workers_wanted(study_id)):
            calls.call(trials.name, study_id)
