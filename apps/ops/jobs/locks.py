"""Row locks of jobs and their runs. Order of tables written: lease (shared), job, run, journal."""

from apps.ops.jobs.models import Job, JobRun, State


def job(pk: int) -> Job | None:
    """Lock one job; None when it is gone."""
    return Job.objects.select_for_update().filter(pk=pk).first()


def waiting_run(pk: int) -> JobRun | None:
    """Lock one run that waits; None when it does not wait any more, or somebody else is about to take it."""
    rows = JobRun.objects.select_for_update(skip_locked=True, of=("self",)).select_related("job")
    return rows.filter(pk=pk, state=State.WAITING).first()


def running_run(pk: int) -> JobRun | None:
    """Lock one run under way; None when it ended, or its worker is about to settle it."""
    rows = JobRun.objects.select_for_update(skip_locked=True, of=("self",)).select_related("job")
    return rows.filter(pk=pk, state=State.RUNNING).first()
