"""Backups and drills with their rows and events: begun, done or failed, and never silent."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import Error, close_old_connections, transaction

from apps.journal import services as journal
from apps.ops.backups import drilling, scratch, taking
from apps.ops.backups.drilling import Drill
from apps.ops.backups.errors import BackupBusy, BackupFailed, BackupUnusable
from apps.ops.backups.models import BackupRun, Kind, Status
from apps.ops.backups.restoring import Restored
from apps.ops.backups.retention import Keep
from apps.ops.backups.servers import Target
from apps.ops.backups.taking import Plan, Taken

KILLED = "It was ended before it was done; nothing of it is left."
Clock = Callable[[], datetime]
Say = Callable[[str], None]


def plan() -> Plan:
    """Return what the settings say of backups."""
    days, weeks, months = settings.BACKUP_KEEP
    return Plan(
        site=Target(url=settings.DATABASE_URL),
        market=Target(url=settings.MARKET_DATABASE_URL or settings.DATABASE_URL),
        shelf=Path(settings.BACKUP_DIR),
        keep=Keep(days=days, weeks=weeks, months=months),
        key_file=key_file(),
    )


def key_file() -> Path | None:
    """Return the file with the key that seals backups; None when they are not sealed."""
    return Path(settings.BACKUP_KEY_FILE) if settings.BACKUP_KEY_FILE else None


def scratch_folder() -> Path:
    """Return where drills have their servers."""
    return Path(settings.VAR) / "drill"


def back_up(wanted: Plan, *, clock: Clock, actor: str = "") -> Taken:
    """Take a backup, keep its row and event, and clear what killed runs left.

    Raises BackupBusy (nothing is recorded: somebody else is at it), BackupFailed, BackupUnusable.
    """
    at = clock()
    scratch.clear_if_idle(scratch_folder())
    with _recorded(Kind.BACKUP, at, clock, actor) as story, taking.hold(wanted) as held:
        story.bury()
        taken = taking.take(held, at=at, begun=story.begin)
        found = taken.manifest
        story.end(
            f"{found.size:,} bytes in {found.seconds:.1f} s.",
            name=found.name,
            size=found.size,
            facts={
                "name": found.name,
                "size": found.size,
                "seconds": found.seconds,
                "sealed": bool(found.key),
                "rows": sum(rows for rows, _ in found.contents.tables.values()),
                "journal": found.contents.journal,
                "forgotten": taken.forgotten,
            },
        )
    return taken


def drill(wanted: Drill, *, clock: Clock, actor: str = "", say: Say = lambda text: None) -> Restored:
    """Try a backup, and keep the result as a row and an event. Raises as `drilling.run`."""
    at = clock()
    with _recorded(Kind.DRILL, at, clock, actor) as story:
        tried = drilling.run(wanted, begun=story.begin_anew, say=say)
        close_old_connections()  # it may have taken hours
        found, wrong = tried.manifest, [*tried.differences, *tried.broken]
        facts = {"name": found.name, "differences": tried.differences, "broken": tried.broken}
        if wrong:
            story.fail(f"{len(wrong)} things are not as they were: {wrong[0]}", facts)
        else:
            rows = sum(rows for rows, _ in found.contents.tables.values())
            words = f"{found.name}: {rows:,} rows, the books and the journal are as they were, every invariant holds."
            story.end(words, name=found.name, size=found.size, facts={**facts, "rows": rows})
    return tried


class _Story:
    """The row of one run, from its beginning to its end."""

    def __init__(self, kind: Kind, at: datetime, clock: Clock, actor: str) -> None:
        self.kind, self.at, self.clock, self.actor = kind, at, clock, actor
        self.run: BackupRun | None = None

    def bury(self) -> None:
        """Say of runs that were killed that they were; call it while nobody else can be running."""
        for left in BackupRun.objects.filter(kind=self.kind, status=Status.RUNNING):
            self._settle(left, Status.FAILED, KILLED, {})

    def begin_anew(self) -> None:
        """Bury, then begin."""
        self.bury()
        self.begin()

    def begin(self) -> None:
        """Make the row."""
        self.run = BackupRun.objects.create(kind=self.kind, started_at=self.at)

    def end(self, sentence: str, *, name: str, size: int, facts: dict[str, Any]) -> None:
        """Write that it went well."""
        run = self.run or BackupRun(kind=self.kind, started_at=self.at)
        run.name, run.size = name, size
        self._settle(run, Status.DONE, sentence, facts)

    def fail(self, sentence: str, facts: dict[str, Any]) -> None:
        """Write that it did not."""
        run = self.run or BackupRun(kind=self.kind, started_at=self.at)
        self._settle(run, Status.FAILED, sentence, facts)

    def _settle(self, run: BackupRun, status: Status, sentence: str, facts: dict[str, Any]) -> None:
        run.status, run.sentence, run.facts, run.ended_at = status, sentence, facts, self.clock()
        with transaction.atomic():
            run.save()
            kind = _EVENTS[self.kind, status]
            journal.record(kind, f"backup:{run.pk}", actor=self.actor, payload={"sentence": sentence, **facts})


_EVENTS = {
    (Kind.BACKUP, Status.DONE): "backup.completed",
    (Kind.BACKUP, Status.FAILED): "backup.failed",
    (Kind.DRILL, Status.DONE): "backup.drilled",
    (Kind.DRILL, Status.FAILED): "backup.drill_failed",
}


@contextlib.contextmanager
def _recorded(kind: Kind, at: datetime, clock: Clock, actor: str) -> Iterator[_Story]:
    story = _Story(kind, at, clock, actor)
    try:
        yield story
    except BackupBusy:
        if story.run is not None:
            story.run.delete()
        raise
    except (BackupFailed, BackupUnusable) as error:
        close_old_connections()
        # The database may be what is wrong: the error itself still reaches whoever asked.
        with contextlib.suppress(Error):
            story.fail(str(error), {})
        raise
