"""Taking a backup: one snapshot is counted and dumped, beside a site that goes on trading."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psycopg2
from psycopg2.extensions import connection

import apps
from apps.ops.backups import cipher, keyfile, manifest, programs, servers, shelf, survey
from apps.ops.backups.errors import BackupBusy, BackupFailed
from apps.ops.backups.manifest import Contents, Dump, Manifest
from apps.ops.backups.retention import Keep
from apps.ops.backups.servers import Target

SITE, MARKET = "site.dump", "market.dump"
_LOCK: Final = "SELECT pg_try_advisory_lock(hashtextextended('ops.backup', 0))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to back up and where to: `market` is the same as `site` unless the store has a server of its own."""

    site: Target
    market: Target
    shelf: Path
    keep: Keep
    key_file: Path | None = None

    @property
    def apart(self) -> bool:
        """Whether the market store is a database of its own."""
        return self.market.url != self.site.url


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A finished backup, and which older or unfinished ones were removed for it."""

    folder: Path
    manifest: Manifest
    forgotten: list[str]
    cleared: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A plan nobody else works on: its folder and its database are held until the end."""

    plan: Plan
    key: bytes | None
    lock: connection
    cleared: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """One database with an exported snapshot."""

    target: Target
    link: connection
    snapshot: str
    file: str
    schemas: tuple[str, ...]
    selection: tuple[str, ...] = ()


@contextlib.contextmanager
def hold(plan: Plan) -> Iterator[Held]:
    """Be the only one who backs this site up, and remove what a killed run left. Raises BackupBusy, BackupUnusable."""
    key = keyfile.read(plan.key_file) if plan.key_file else None
    with shelf.held(plan.shelf), servers.session(plan.site) as lock:
        with lock.cursor() as ask:
            ask.execute(_LOCK)
            if not (ask.fetchone() or (False,))[0]:
                raise BackupBusy("Another backup of this database is under way, perhaps from another machine.")
        yield Held(plan=plan, key=key, lock=lock, cleared=shelf.clear(plan.shelf))


def take(held: Held, *, at: datetime, begun: Callable[[], None] = lambda: None) -> Taken:
    """Take a backup and name it after `at`. Raises BackupFailed, and then nothing of it is left.

    `begun` is called once the snapshot stands: what it writes is not part of the backup.
    """
    began, plan = time.monotonic(), held.plan
    part = shelf.begin(plan.shelf, shelf.name_of(at))
    try:
        dumps, contents, instant = _dumped(held, part, begun)
        written = Manifest(
            name=shelf.name_of(at),
            version=apps.VERSION,
            at=instant,
            seconds=round(time.monotonic() - began, 3),
            key=keyfile.fingerprint(held.key) if held.key else "",
            dumps=dumps,
            contents=contents,
        )
        shelf.store(part / manifest.FILE, [manifest.text(written, held.key).encode()])
        folder = shelf.finish(part)
    except psycopg2.Error as error:
        raise BackupFailed(f"The database ended the backup: {servers.first_line(error)}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    forgotten = shelf.forget(plan.shelf, plan.keep)
    return Taken(folder=folder, manifest=written, forgotten=forgotten, cleared=held.cleared)


def _dumped(held: Held, part: Path, begun: Callable[[], None]) -> tuple[list[Dump], Contents, datetime]:
    with contextlib.ExitStack() as stack:
        sources = [stack.enter_context(source) for source in _sources(held.plan)]
        instant = _instant(sources[0].link)
        begun()
        dumps = [_dump(source, part, held.key) for source in sources]
        site, *market = (survey.survey(source.link, source.schemas) for source in sources)
        return dumps, survey.joined(site, market[0]) if market else site, instant


def _sources(plan: Plan) -> "Iterator[contextlib.AbstractContextManager[_Source]]":
    if not plan.apart:
        yield _source(plan.site, SITE, (survey.SITE, survey.MARKET))
        return
    yield _source(plan.site, SITE, (survey.SITE,), (f"--exclude-schema={survey.MARKET}",))
    yield _source(plan.market, MARKET, (survey.MARKET,), (f"--schema={survey.MARKET}",))


@contextlib.contextmanager
def _source(target: Target, file: str, schemas: tuple[str, ...], selection: tuple[str, ...] = ()) -> Iterator[_Source]:
    with contextlib.closing(servers.connect(target)) as link:
        link.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with link.cursor() as ask:
            ask.execute("SELECT pg_export_snapshot()")
            snapshot = str((ask.fetchone() or ("",))[0])
        yield _Source(target=target, link=link, snapshot=snapshot, file=file, schemas=schemas, selection=selection)


def _dump(source: _Source, part: Path, key: bytes | None) -> Dump:
    server = servers.major(source.link)
    tool = programs.find("pg_dump", at_least=server)
    argv: list[str | Path] = [
        tool,
        "--format=custom",
        "--compress=3",
        "--no-password",
        "--lock-wait-timeout=30s",
        f"--snapshot={source.snapshot}",
        *source.selection,
        f"--dbname={source.target.argument}",
    ]
    with contextlib.closing(programs.read(argv, source.target.environment)) as plain:
        total, size = shelf.store(part / source.file, cipher.seal(plain, key) if key else plain)
    return Dump(file=source.file, sha256=total, size=size, tool=programs.version(tool), server=server)


def _instant(link: connection) -> datetime:
    """Return the server's clock at the snapshot."""
    with link.cursor() as ask:
        ask.execute("SELECT transaction_timestamp()")
        found: datetime = (ask.fetchone() or (datetime.min.replace(tzinfo=UTC),))[0]
        return found.astimezone(UTC)
