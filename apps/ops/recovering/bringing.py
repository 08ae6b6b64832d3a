"""Bringing an instant back: a copy of the base plays the log up to it, and its database is put beside the site's."""

import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from apps.ops.backups import programs as tools
from apps.ops.backups import restoring, taking
from apps.ops.backups.errors import BackupFailed, BackupUnusable
from apps.ops.backups.restoring import Restored
from apps.ops.backups.retention import Keep
from apps.ops.backups.servers import Target
from apps.ops.backups.taking import Plan
from apps.ops.recovering import archive as archives
from apps.ops.recovering.archive import Archive
from apps.ops.servers import identity, postgres, processes

FOLDER: Final = "recovering"
LONGEST: Final = 24 * 3600.0  # seconds that playing the log may take
STOP: Final = 60.0
Say = Callable[[str], None]


def bring(archive: Archive, moment: datetime, into: Target, *, now: datetime, say: Say) -> Restored:
    """Put the site's database as it was at `moment` into a new one, compared and proven as any restore.

    Raises BackupUnusable when the archive does not reach that instant, BackupFailed when a server gives up.
    """
    base = _base_for(archive, moment, now)
    say("having the server archive what it has")
    archives.hand_over(archive)
    work = archive.place.folder(FOLDER)
    shutil.rmtree(work)
    work = archive.place.folder(FOLDER)
    try:
        _prepare(archive, base, work / "data", moment)
        with _played(archive, work / "data", moment, say) as recovered:
            say("copying the database of that instant")
            plan = Plan(site=recovered, market=recovered, shelf=work / "shelf", keep=Keep(days=1, weeks=0, months=0))
            with taking.hold(plan) as held:
                taken = taking.take(held, at=now)
        source = restoring.opened(taken.folder, None)
        source = replace(source, manifest=replace(source.manifest, at=moment))
        return restoring.restore(source, into, say=say)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _base_for(archive: Archive, moment: datetime, now: datetime) -> Path:
    bases = archive.bases()
    if not bases:
        raise BackupUnusable(f"{archive.folder} holds no base backup: `manage.py recover --begin`, then `--base`.")
    if moment > now:
        raise BackupUnusable(f"{moment:%Y-%m-%d %H:%M:%S} UTC is not over yet.")
    before = [path for at, path in bases.items() if at <= moment]
    if not before:
        raise BackupUnusable(
            f"The archive begins at {min(bases):%Y-%m-%d %H:%M:%S} UTC: nothing earlier can be brought back. "
            "An older backup can be restored whole: `manage.py backup --list`."
        )
    return before[-1]


def _prepare(archive: Archive, base: Path, data: Path, moment: datetime) -> None:
    """Copy the base and say where its log is and at which instant to stop."""
    needed = sum(path.stat().st_size for path in base.rglob("*") if path.is_file())
    free = shutil.disk_usage(data.parent).free
    if free < 2 * needed:
        raise BackupFailed(f"About {2 * needed:,} bytes are needed at {data.parent} and {free:,} are free.")
    tools.as_account(["cp", "-a", base, data], archive.place.account, {})
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write(
            f"archive_mode = off\nrestore_command = 'cp {archive.log}/%f %p'\n"
            f"recovery_target_time = '{moment.isoformat()}'\nrecovery_target_action = 'promote'\n"
        )
    (data / "recovery.signal").touch()
    archive.place.give(data / "recovery.signal")


@contextlib.contextmanager
def _played(archive: Archive, data: Path, moment: datetime, say: Say) -> Iterator[Target]:
    """Start a server on the copy, wait until it has played the log, yield the site's database in it, and end it."""
    port = next(number for number in identity.PORTS if identity.is_free(number))
    log = data.parent / "recovery.log"
    options = {**postgres.SETTINGS, "port": str(port), "logging_collector": "off"}
    words = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    process = processes.launch(
        [archive.bindir / "postgres", "-D", data, *words], log=log, account=archive.place.account
    )
    try:
        say(f"playing the log up to {moment:%Y-%m-%d %H:%M:%S} UTC")
        _wait(archive, port, log, lambda: process.poll() is None)
        yield Target(url=f"postgresql://{postgres.ROLE}:{archive.mine.app}@{identity.HOST}:{port}/{postgres.DATABASE}")
    finally:
        processes.end(process.pid, data, signal.SIGINT)
        if not processes.wait_gone(process.pid, data, STOP):
            processes.end(process.pid, data, signal.SIGQUIT)
            processes.wait_gone(process.pid, data, STOP)
        process.wait()


def _wait(archive: Archive, port: int, log: Path, lives: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST
    while True:
        with contextlib.suppress(BackupFailed), archives.asked(archive, port=port) as link:
            if archives.one(link, "SELECT pg_is_in_recovery()") == "False":
                return
        if not lives() or time.monotonic() > deadline:
            raise BackupFailed(f"The log could not be played up to that instant: {processes.last_words([log])}")
        time.sleep(0.1)
