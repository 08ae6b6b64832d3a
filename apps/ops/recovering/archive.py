"""The archive: base backups of the embedded server, and every file of its log since."""

import contextlib
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psycopg2
from psycopg2.extensions import connection

from apps.ops import servers
from apps.ops.backups import programs as tools
from apps.ops.backups.errors import BackupFailed, BackupUnusable
from apps.ops.servers import identity, places, processes, programs
from apps.ops.servers.identity import Identity
from apps.ops.servers.places import Place

STAMP: Final = "%Y%m%dT%H%M%SZ"
BASE, LOG, UNFINISHED = "base-", "wal", ".part"
KEPT: Final = 2  # base backups, and the log since the older of them
TIMEOUT: Final = 300  # seconds of a quiet night that may be lost at most
PATIENCE: Final = 60.0
STOP: Final = 60.0
_FORBIDDEN: Final = frozenset("'\"\\%$`\n ")  # of a path that stands in a command of the server


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Where it lies, and the embedded server it belongs to."""

    folder: Path
    place: Place
    mine: Identity

    @property
    def log(self) -> Path:
        """The folder with the files of the log."""
        return self.folder / LOG

    @property
    def bindir(self) -> Path:
        """The folder of PostgreSQL's programs, as the server's user can reach them."""
        return self.place.reachable(programs.postgres()).path.parent

    def bases(self) -> dict[datetime, Path]:
        """Return the finished base backups by the instant from which on they can be used, oldest first."""
        found = {}
        for path in sorted(self.folder.glob(f"{BASE}*")):
            with contextlib.suppress(ValueError):
                found[datetime.strptime(path.name.removeprefix(BASE), STAMP).replace(tzinfo=UTC)] = path
        return found


def of(state: Path, folder: Path | None) -> Archive:
    """Return the archive of the embedded server here. Raises BackupUnusable when the server is the operator's own."""
    place = places.settle(state)
    mine = identity.recall(place)
    if mine is None or servers.pid("postgresql", state) is None:
        raise BackupUnusable(
            "DATABASE_URL names a server of yours: its own tools archive and recover it (docs/backup.md says how). "
            "This command is for the embedded server."
        )
    chosen = (folder or place.home / "archive").absolute()
    if set(str(chosen)) & _FORBIDDEN:
        raise BackupUnusable(f"{chosen} has signs that the server's own commands cannot hold: use a plain path.")
    return Archive(folder=chosen, place=place, mine=mine)


@contextlib.contextmanager
def asked(archive: Archive, database: str = "postgres", port: int | None = None) -> Iterator[connection]:
    """Yield a connection of the superuser. Raises BackupFailed."""
    try:
        link = psycopg2.connect(
            host=identity.HOST,
            port=port or archive.mine.ports["postgresql"],
            user="postgres",
            password=archive.mine.superuser,
            dbname=database,
            connect_timeout=10,
            application_name="tradingsite recover",
        )
    except psycopg2.Error as error:
        raise BackupFailed(f"The server does not answer: {str(error).strip().splitlines()[0]}") from None
    with contextlib.closing(link):
        link.autocommit = True
        yield link


def one(link: connection, statement: str) -> str:
    """Return the only value of an answer as text."""
    with link.cursor() as cursor:
        cursor.execute(statement)
        return str((cursor.fetchone() or ("",))[0])


def begin(archive: Archive) -> bool:
    """Have the server archive its log from now on; say whether it was started again for that. Raises BackupFailed."""
    for folder in (archive.folder, archive.log):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        archive.place.give(folder)
    to = f"{archive.log}/%f"
    command = f"test ! -f {to} && cp %p {to}{UNFINISHED} && mv {to}{UNFINISHED} {to}"
    with asked(archive) as link, link.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET archive_mode = on")
        cursor.execute("ALTER SYSTEM SET archive_command = %s", [command])
        cursor.execute("ALTER SYSTEM SET archive_timeout = %s", [TIMEOUT])
        cursor.execute("SELECT pg_reload_conf()")
        if one(link, "SHOW archive_mode") == "on":
            return False
    _restart(archive)
    return True


def take_base(archive: Archive) -> Path:
    """Take a base backup, see that it is whole, and forget what the newer ones make needless. Raises BackupFailed."""
    if not archive.log.is_dir():
        raise BackupUnusable(f"{archive.folder} is no archive yet: run `manage.py recover --begin` first.")
    fresh = archive.folder / f"{BASE}new{UNFINISHED}"
    shutil.rmtree(fresh, ignore_errors=True)
    source = ("-h", identity.HOST, "-p", str(archive.mine.ports["postgresql"]), "-U", "postgres")
    words: list[str | Path] = [archive.bindir / "pg_basebackup", *source, "-D", fresh, "-X", "stream", "-c", "fast"]
    try:
        fresh.mkdir(mode=0o700)
        archive.place.give(fresh)
        _run(archive, *words, password=archive.mine.superuser)
        _run(archive, archive.bindir / "pg_verifybackup", "-q", fresh)
        with asked(archive) as link:
            at = datetime.fromisoformat(
                one(link, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')")
            )
        done = archive.folder / f"{BASE}{at.strftime(STAMP)}"
        fresh.rename(done)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    _forget(archive)
    return done


def hand_over(archive: Archive) -> None:
    """Have all that was committed until now in the archive. Raises BackupFailed when the server cannot write."""
    with asked(archive) as link:
        one(link, "SELECT pg_logical_emit_message(true, 'recover', '')")  # a commit after the instant that is asked for
        segment = one(link, "SELECT pg_walfile_name(pg_switch_wal())")
        deadline = time.monotonic() + PATIENCE
        while not (archive.log / segment).exists():
            if time.monotonic() > deadline:
                why = one(link, "SELECT coalesce(last_failed_wal, 'nothing failed') FROM pg_stat_archiver")
                raise BackupFailed(
                    f"The server did not archive {segment} within {PATIENCE:.0f} s ({why}): see its log."
                )
            time.sleep(0.1)


def _restart(archive: Archive) -> None:
    state, data = archive.place.state, archive.place.home / "postgres"
    pid = servers.pid("postgresql", state)
    if pid is not None:
        processes.end(pid, data, signal.SIGINT)
        if not processes.wait_gone(pid, data, STOP):
            raise BackupFailed("The server did not stop: end what uses it, then try again.")
    servers.revive("postgresql", state)


def _forget(archive: Archive) -> None:
    bases = archive.bases()
    for at in sorted(bases)[:-KEPT]:
        shutil.rmtree(bases[at], ignore_errors=True)
    oldest = next(iter(archive.bases().values()))
    label = (oldest / "backup_label").read_text()
    first = label.partition("(file ")[2].partition(")")[0]
    for path in archive.log.iterdir():
        # A file's name counts up; the first eight signs are the timeline, of which this archive has one.
        if len(path.name) >= len(first) and path.name[: len(first)] < first and not path.name.endswith(".history"):
            path.unlink()


def _run(archive: Archive, *words: str | Path, password: str = "") -> None:
    """Run one of PostgreSQL's programs as the server's user. Raises BackupFailed with its own words."""
    tools.as_account(words, archive.place.account, {"PGPASSWORD": password} if password else {})
