"""Backups: taken every night, tried every week, and nothing left lying about."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from django.conf import settings

from apps.ops.backups import scratch, selectors, services, shelf
from apps.ops.backups.models import Kind
from apps.ops.backups.selectors import Last
from apps.ops.doctor.finding import Finding, aged, good, note, wrong

TAKE: Final = "run `manage.py backup`, and see whether beat and a worker for `ops` run"
TRY: Final = "run `manage.py backup --drill`"


def look(now: datetime) -> Iterator[Finding]:
    """See how old the last good backup and drill are, and whether the newest one failed."""
    last = selectors.last()
    backup = last[Kind.BACKUP]
    yield from _judged(Kind.BACKUP, backup, now, TAKE)
    if backup.good is not None and backup.good.name not in shelf.finished(Path(settings.BACKUP_DIR)):
        seen = f"{backup.good.name} is not in {settings.BACKUP_DIR} any more"
        yield wrong("backups", "folder", seen, "is the disk mounted? Otherwise take another backup now")
    yield from _judged(Kind.DRILL, last[Kind.DRILL], now, TRY)
    for name in scratch.leftovers(services.scratch_folder()):
        do = "nothing while a drill is under way; else the next backup clears it"
        yield note("backups", "scratch", f"a drill's server is there: {name}", do)


def _judged(kind: Kind, last: Last, now: datetime, do: str) -> Iterator[Finding]:
    name = kind.value
    if last.failing:
        assert last.newest is not None
        yield wrong("backups", name, f"the last {name} failed: {last.newest.sentence}", do)
    if last.good is None:
        yield _never(name, do)
        return
    age = now - last.good.started_at
    seen = f"the last good {name} is {aged(age)} old"
    yield (
        wrong("backups", name, seen, do)
        if age > selectors.ALLOWED[kind]
        else good("backups", name, f"{seen}: {last.good.sentence}")
    )


def _never(name: str, do: str) -> Finding:
    seen = f"there has been no {name} yet"
    return note("backups", name, seen, do) if settings.DEMO else wrong("backups", name, seen, do)
