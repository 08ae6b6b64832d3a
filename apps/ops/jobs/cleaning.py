"""The weekly cleaning: what only told how the machine ran is forgotten after a while; facts about money never are."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from django.contrib.sessions.models import Session

from apps.ops.jobs.models import JobRun, State

KEPT: Final = timedelta(days=30)
BATCH: Final = 5000  # rows deleted in one statement, so that no lock is held for long
_OVER: Final = (State.DONE, State.FAILED, State.SKIPPED)


def clean(now: datetime, logs: Path, *, kept: timedelta = KEPT) -> dict[str, int]:
    """Delete runs of jobs that ended, log files nobody writes any more, and sessions that ended, older than `kept`.

    Returns how many of each. The newest run of each job stays, so that its page is never empty.
    """
    before = now - kept
    return {
        "runs": _runs(before),
        "sessions": Session.objects.filter(expire_date__lt=before).delete()[0],
        "log_files": sum(_unlinked(path) for path in _old_logs(logs, before)),
    }


def _runs(before: datetime) -> int:
    newest = JobRun.objects.order_by("job_id", "-slot", "-pk").distinct("job_id").values_list("pk", flat=True)
    kept = set(newest)
    count = 0
    while True:
        old = JobRun.objects.filter(state__in=_OVER, ended_at__lt=before).exclude(pk__in=kept)
        batch = list(old.order_by("pk").values_list("pk", flat=True)[:BATCH])
        if not batch:
            return count
        count += JobRun.objects.filter(pk__in=batch).delete()[0]


def _old_logs(folder: Path, before: datetime) -> Iterator[Path]:
    for path in folder.glob("*.log*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_mtime < before.timestamp():
            yield path


def _unlinked(path: Path) -> bool:
    path.unlink(missing_ok=True)
    return True
