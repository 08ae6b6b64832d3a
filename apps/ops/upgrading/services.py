"""One upgrade from its beginning to its end: at rest, backed up, migrated, tried; on failure as it was before."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from django.db import DatabaseError, connection, connections

import apps
from apps.journal import services as journal
from apps.ops import schema
from apps.ops.backups import services as backups
from apps.ops.backups import taking
from apps.ops.backups.taking import Plan, Taken
from apps.ops.upgrading import back, children, migrating, quiet, smoke
from apps.ops.upgrading.errors import UpgradeRefused

NEWER: Final = "newer than this code"
Clock = Callable[[], datetime]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded:
    """What came of it: `ok` or not, in a sentence; the backup's folder; the failed databases' names after a failure."""

    ok: bool
    sentence: str
    version: str
    backup: str = ""
    kept: tuple[str, ...] = ()
    seconds: float = 0.0


def pending() -> str:
    """Say what of the tables is older than the code; "" when nothing is. Raises UpgradeRefused when they are newer."""
    found = schema.mismatch()
    if NEWER in found:
        raise UpgradeRefused(found)
    return found


def upgrade(*, clock: Clock, say: Say, actor: str, despite_verify: bool = False) -> Upgraded:
    """Bring the site's tables to this code, or leave them as they were.

    Raises UpgradeRefused, BackupBusy, BackupFailed, BackupUnusable; the last three after a failure mean that the way
    back failed, too: the sentence says where the backup is.
    """
    began = clock()
    with quiet.kept(clock, say):
        plan = backups.plan()
        connections.close_all()
        say("taking a backup: what is restored should anything fail")
        taken = _backed_up(plan, began)
        failure = _changed(say, despite_verify=despite_verify)
        if failure:
            return _failed(plan, taken, failure, clock, say, actor)
        name, seconds = taken.manifest.name, round((clock() - began).total_seconds(), 1)
        done = Upgraded(
            ok=True,
            sentence=f"Upgraded to {apps.VERSION} in {seconds} s; the backup from before is {name}.",
            version=apps.VERSION,
            backup=str(taken.folder),
            seconds=seconds,
        )
        _tell("site.upgraded", done, actor, say)
        return done


def _backed_up(plan: Plan, at: datetime) -> Taken:
    """Take it without a row of its own: the tables of older code may lack what rows of this code need."""
    with taking.hold(plan) as held:
        return taking.take(held, at=at)


def _changed(say: Say, *, despite_verify: bool) -> str:
    say("migrating")
    failure = children.run("-m", migrating.__name__)
    if failure:
        return f"The migration failed: {failure}"
    say("trying: tables, rows, pages, every invariant")
    failure = children.run("-m", smoke.__name__, *([smoke.DESPITE] if despite_verify else []))
    return f"The upgraded site is not whole: {failure}" if failure else ""


def _failed(plan: Plan, taken: Taken, failure: str, clock: Clock, say: Say, actor: str) -> Upgraded:
    say(failure)
    say(f"going back to {taken.manifest.name}")
    kept = back.roll(plan, Path(taken.folder), clock(), say=say)
    done = Upgraded(
        ok=False,
        sentence=(
            f"{failure} The database is as it was before; what the failure left is kept as {', '.join(kept)}. "
            "Put the code of before back and start the site, or mend what failed and upgrade again."
        ),
        version=apps.VERSION,
        backup=str(taken.folder),
        kept=tuple(kept),
    )
    _tell("site.upgrade_failed", done, actor, say)
    return done


def _tell(kind: str, done: Upgraded, actor: str, say: Say) -> None:
    try:
        payload = {key: value for key, value in asdict(done).items() if key != "ok"}
        journal.record(kind, "site:upgrade", actor=actor, payload=payload)
    except DatabaseError as error:  # tables of other code: the command itself still says it
        say(f"it could not be written into the journal: {str(error).strip()}")
        connection.close()
