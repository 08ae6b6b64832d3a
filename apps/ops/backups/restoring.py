"""Putting a backup into an empty database: checked before, whole or not at all, compared and proven after."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import psycopg2
from django.db.migrations.loader import MigrationLoader

import apps
from apps.market import store
from apps.ops.backups import cipher, judging, keyfile, manifest, programs, servers, shelf, survey
from apps.ops.backups.errors import BackupFailed, BackupUnusable
from apps.ops.backups.manifest import Contents, Dump, Manifest
from apps.ops.backups.servers import Target
from apps.ops.servers.places import REPOSITORY

REVISIONS: Final = REPOSITORY / "migrations" / "versions"
_EMPTY: Final = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' LIMIT 1
"""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A backup that has been read and found sound; the key is there when it is sealed."""

    folder: Path
    manifest: Manifest
    key: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restored database turned out to be: differences from the manifest, and invariants that do not hold."""

    manifest: Manifest
    migrated: bool
    differences: list[str]
    broken: list[str]

    @property
    def ok(self) -> bool:
        """Whether it is what was backed up, and every invariant holds."""
        return not self.differences and not self.broken


def opened(path: Path, key_file: Path | None) -> Source:
    """Read a backup (its folder, or a file in it) and check all of it before anything is changed.

    Raises BackupUnusable when it is damaged, unfinished, sealed with another key, or written by newer code.
    """
    folder = (path if path.is_dir() else path.parent).resolve()
    if folder.suffix == shelf.UNFINISHED:
        raise BackupUnusable(f"{folder} was never finished: use another backup.")
    key = keyfile.read(key_file) if key_file and manifest.glance(folder).key else None
    found = manifest.read(folder, key)
    _check_code(found)
    shelf.check(folder, found)
    return Source(folder=folder, manifest=found, key=key)


def restore(
    source: Source,
    site: Target,
    market: Target | None = None,
    *,
    say: Say = lambda text: None,
    as_it_was: bool = False,
) -> Restored:
    """Restore into databases that are empty or not there yet, compare, migrate to this code, and prove.

    With `as_it_was` the tables stay those of the code that was backed up, and only the comparison is made. Without
    `market`, a market store that had a server of its own comes into the site's database. Raises BackupUnusable when a
    database is not empty, BackupFailed when a server or program gives up.
    """
    targets = _targets(source.manifest, site, market)
    with contextlib.ExitStack() as undo:
        for target in dict.fromkeys(targets):
            if _prepare(target, source.manifest):
                undo.callback(servers.drop, target)
        for dump, target in zip(source.manifest.dumps, targets, strict=True):
            say(f"restoring {dump.file} into {target.shown}")
            _load(source, dump, target)
        undo.pop_all()
    say("counting what is there")
    differences = survey.differences(source.manifest.contents, _contents(targets))
    if as_it_was:
        return Restored(manifest=source.manifest, migrated=False, differences=differences, broken=[])
    migrated = _migrate(source.manifest, targets, say)
    say("asking every invariant")
    broken = judged(targets, source.manifest.at)
    return Restored(manifest=source.manifest, migrated=migrated, differences=differences, broken=broken)


def judged(targets: Sequence[Target], at: datetime) -> list[str]:
    """Ask a restored site's invariants as of an instant; return the broken ones, each in a sentence."""
    done = _child(targets, "-m", judging.__name__, at.isoformat())
    if done.returncode:
        raise BackupFailed(f"The restored database could not be verified: {_last(done.stderr)}")
    return done.stdout.splitlines()


def known() -> tuple[set[str], set[str]]:
    """Return the migrations that this code has: Django's as app.name, and the market store's revisions."""
    site = {".".join(key) for key in MigrationLoader(None).disk_migrations}
    return site, {path.name.partition("_")[0] for path in REVISIONS.glob("*.py")}


def _check_code(found: Manifest) -> None:
    site, market = known()
    strange = sorted({*found.contents.site_migrations} - site) + sorted({*found.contents.market_migrations} - market)
    if strange or _number(found.version) > _number(apps.VERSION):
        why = f" It has changes of tables that are unknown here: {', '.join(strange[:3])}." if strange else ""
        raise BackupUnusable(
            f"{found.name} was written by version {found.version}; this is {apps.VERSION}, which is older.{why} "
            f"Restore it with the code of {found.version} or newer."
        )


def _number(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _targets(found: Manifest, site: Target, market: Target | None) -> list[Target]:
    if len(found.dumps) == 1 and market is not None and market != site:
        raise BackupUnusable("The market store was in the site's database: leave the second database out.")
    return [site, market or site][: len(found.dumps)]


def _prepare(target: Target, found: Manifest) -> bool:
    """Make the database unless it is there and see that it is empty; say whether it was made."""
    made = servers.create(target)
    with servers.session(target) as link, link.cursor() as ask:
        ask.execute(_EMPTY)
        there = ask.fetchone()
        if there:
            raise BackupUnusable(
                f"The database {target.shown} is not empty (it has {there[0]}): a backup is never restored over data. "
                "Name a new one."
            )
        server = servers.major(link)
    needed = max(dump.server for dump in found.dumps)
    if server < needed:
        raise BackupUnusable(
            f"{target.shown} is PostgreSQL {server}, the backup is of {needed}: use {needed} or newer."
        )
    return made


def _load(source: Source, dump: Dump, target: Target) -> None:
    tool = programs.find("pg_restore", at_least=dump.tool)
    options = ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction", "--no-password")
    with shelf.path_of(source.folder, dump).open("rb") as file:
        if source.key:
            plain = cipher.unseal(file, source.key, what=dump.file)
        else:
            plain = iter(lambda: file.read(programs.CHUNK), b"")
        programs.write([tool, *options, f"--dbname={target.argument}"], target.environment, plain)
    with servers.session(target) as link, link.cursor() as ask:
        ask.execute("ANALYZE")


def _contents(targets: Sequence[Target]) -> Contents:
    if len(set(targets)) == 1:
        return _surveyed(targets[0], (survey.SITE, survey.MARKET))
    return survey.joined(_surveyed(targets[0], (survey.SITE,)), _surveyed(targets[1], (survey.MARKET,)))


def _surveyed(target: Target, schemas: tuple[str, ...]) -> Contents:
    try:
        with contextlib.closing(servers.connect(target)) as link:
            return survey.survey(link, schemas)
    except psycopg2.Error as error:
        raise BackupFailed(f"{target.shown} could not be counted: {servers.first_line(error)}") from None


def _migrate(found: Manifest, targets: Sequence[Target], say: Say) -> bool:
    site, _ = known()
    if not site - {*found.contents.site_migrations} and not store.pending(targets[-1].url):
        return False
    say(f"bringing the tables of version {found.version} to {apps.VERSION}")
    done = _child(targets, str(REPOSITORY / "manage.py"), "migrate", "--no-input", "--verbosity=0")
    if done.returncode:
        raise BackupFailed(f"The restored tables could not be brought to this version: {_last(done.stderr)}")
    store.migrate(targets[-1].url)
    return True


def _child(targets: Sequence[Target], *argv: str) -> "subprocess.CompletedProcess[str]":
    """Run our own code on the restored databases, in a process of its own: settings are read once per process."""
    urls = {"DATABASE_URL": targets[0].url, "MARKET_DATABASE_URL": targets[-1].url, "TRADINGSITE_EMBEDDED": ""}
    return subprocess.run(
        [sys.executable, *argv],
        env={**os.environ, **urls},
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _last(words: str) -> str:
    return (words.strip().splitlines() or ["it gave no reason"])[-1]
