"""A worker's part of a job: claim the run it was called to, do its task, settle."""

from datetime import UTC, datetime

from celery import current_app

from apps.ops.jobs import running
from workers import identity, job_calls


def run(run_id: int) -> bool:
    """Run one slot of a job; False when there is nothing to do. Raises what its task raises, once that is stored."""
    claimed = running.claim(run_id, worker=identity.of_this_process(), now=_now(), limit=job_calls.limit)
    if claimed is None:
        return False
    with running.Settling(claimed, _now) as mine:
        # A task that nobody knows raises here, and the run says so.
        task = current_app.tasks[mine.task]
        mine.result = task.run(**mine.kwargs, slot=mine.slot.isoformat())
    return True


def _now() -> datetime:
    return datetime.now(UTC)
