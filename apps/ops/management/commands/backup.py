"""Take a backup, list them, or try the newest one out."""

import json
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.domain.errors import Unavailable
from apps.ops.backups import keyfile, manifest, services, shelf
from apps.ops.backups.drilling import Drill
from apps.ops.backups.errors import BackupUnusable


class Command(BaseCommand):
    """`manage.py backup`, `backup --drill`; exit status 1 when it did not succeed."""

    help = "Dump both schemas into BACKUP_DIR, described and summed; with --drill restore the newest one for trial."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what can be done instead of a backup."""
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--drill", action="store_true", help="restore the newest backup into a scratch server and verify it"
        )
        what.add_argument("--list", action="store_true", help="list the finished backups")
        what.add_argument("--new-key", action="store_true", help="make the file that BACKUP_KEY_FILE names")
        parser.add_argument("--from", dest="folder", type=_folder, help="with --drill: try this backup instead")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it and say what came of it."""
        if options["folder"] and not options["drill"]:
            raise CommandError("--from belongs to --drill.")
        try:
            if options["new_key"]:
                answer = self._new_key()
            elif options["list"]:
                answer = self._list()
            elif options["drill"]:
                answer = self._drill(options["folder"])
            else:
                answer = self._take()
        except Unavailable as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(answer))
        if not answer["ok"]:
            raise SystemExit(1)

    def _take(self) -> dict[str, Any]:
        taken = services.back_up(services.plan(), clock=_now)
        found = taken.manifest
        sealed = f"sealed with the key {found.key}" if found.key else "NOT sealed: anybody who has it can read it"
        self.stderr.write(f"{taken.folder}: {found.size:,} bytes in {found.seconds:.1f} s, {sealed}.")
        for name in taken.forgotten:
            self.stderr.write(f"deleted {name}: BACKUP_KEEP does not keep it.")
        return {
            "ok": True,
            "folder": str(taken.folder),
            "size": found.size,
            "seconds": found.seconds,
            "forgotten": taken.forgotten,
            "cleared": taken.cleared,
        }

    def _drill(self, folder: Path | None) -> dict[str, Any]:
        shelf_folder, scratch = Path(settings.BACKUP_DIR), services.scratch_folder()
        wanted = Drill(shelf=shelf_folder, scratch=scratch, key_file=services.key_file(), folder=folder)
        tried = services.drill(wanted, clock=_now, say=self.stderr.write)
        for line in (*tried.differences, *tried.broken):
            self.stderr.write(f"WRONG  {line}")
        name = tried.manifest.name
        self.stderr.write(f"{name} can be restored." if tried.ok else f"{name} is NOT what was backed up.")
        return {"ok": tried.ok, "name": name, "differences": tried.differences, "broken": tried.broken}

    def _list(self) -> dict[str, Any]:
        folder = Path(settings.BACKUP_DIR)
        rows = [manifest.glance(folder / name) for name in sorted(shelf.finished(folder))]
        for row in rows:
            sealed = f"sealed {row.key}" if row.key else "open"
            self.stderr.write(f"{row.name}  {row.size:>15,} bytes  version {row.version}  {sealed}")
        listed = [{"name": r.name, "at": r.at.isoformat(), "size": r.size, "version": r.version} for r in rows]
        return {"ok": True, "folder": str(folder), "backups": listed}

    def _new_key(self) -> dict[str, Any]:
        path = services.key_file()
        if path is None:
            raise BackupUnusable("BACKUP_KEY_FILE is not set: name the file that shall hold the key, outside of var/.")
        keyfile.create(path)
        self.stderr.write(
            f"{path} holds a new key. Copy it to a place that has neither this machine nor its backups: without it no "
            "sealed backup opens again."
        )
        return {"ok": True, "key_file": str(path)}


def _now() -> datetime:
    return datetime.now(UTC)


def _folder(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.exists():
        raise ArgumentTypeError(f"{text} is not there")
    return path
