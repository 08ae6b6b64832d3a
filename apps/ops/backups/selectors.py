"""When the last backup was taken and the last drill passed, for the first page, the doctor and the timetable."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from apps.ops.backups.models import BackupRun, Kind, Status

# How old the last good one may be: its slot, and some hours to notice.
ALLOWED: Final = {Kind.BACKUP: timedelta(hours=26), Kind.DRILL: timedelta(days=8)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """The newest successful run and the newest of all; None where there was none."""

    good: BackupRun | None
    newest: BackupRun | None

    @property
    def failing(self) -> bool:
        """Whether the newest run did not succeed."""
        return self.newest is not None and self.newest.status == Status.FAILED


def last() -> dict[Kind, Last]:
    """Return the last backup and the last drill, with one query."""
    # Ordered by number: a restored site has rows of its former life only.
    newest = BackupRun.objects.exclude(status=Status.RUNNING).order_by("kind", "status", "-id")
    found: dict[Kind, list[BackupRun]] = {kind: [] for kind in Kind}
    for run in newest.distinct("kind", "status"):
        found[Kind(run.kind)].append(run)
    return {kind: _last(runs) for kind, runs in found.items()}


def last_backup() -> Last:
    """Return the last backup."""
    return last()[Kind.BACKUP]


def last_drill() -> Last:
    """Return the last drill."""
    return last()[Kind.DRILL]


def since(kind: Kind, at: datetime) -> list[BackupRun]:
    """Return the runs of a kind begun at or after an instant, newest first."""
    return list(BackupRun.objects.filter(kind=kind, started_at__gte=at))


def _last(runs: list[BackupRun]) -> Last:
    good = next((run for run in runs if run.status == Status.DONE), None)
    return Last(good=good, newest=max(runs, key=lambda run: run.pk, default=None))
