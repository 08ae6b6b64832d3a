"""Bring the database back as it was at a named instant, into a new one beside the site's."""

import json
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.domain.errors import Unavailable
from apps.ops.backups import servers
from apps.ops.recovering import archive as archives
from apps.ops.recovering import bringing
from apps.ops.recovering.archive import Archive

NEXT: Final = """\
Next: stop the site, set DATABASE_URL to {shown}, `manage.py halt --reason "recovered"`, start it, let it compare its
orders and positions with the brokers (what happened there after {at:%Y-%m-%d %H:%M:%S} UTC is not in it), then
`manage.py resume`. The database in use was not touched.
"""


class Command(BaseCommand):
    """`manage.py recover --to "2026-11-21 10:00"`; status 1 when what came back is not whole."""

    help = "Archive the embedded server's log, take base backups, and bring a named instant back into a new database."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the steps."""
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--begin", action="store_true", help="archive the log from now on; restarts the server once")
        what.add_argument("--base", action="store_true", help="take a base backup; once a week is meant")
        what.add_argument("--list", action="store_true", help="say which instants can be brought back")
        what.add_argument("--to", type=_instant, metavar="INSTANT", help="2026-11-21 10:00, UTC unless it says +01:00")
        parser.add_argument("--into", help="the new database's name (default: recovered_ and the instant)")
        parser.add_argument("--archive", type=Path, help="the archive's folder (default: archive beside the data)")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do the step and say what came of it."""
        try:
            archive = archives.of(Path(settings.VAR), options["archive"])
            answer = self._step(archive, options)
        except Unavailable as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(answer))
        if not answer["ok"]:
            raise SystemExit(1)

    def _step(self, archive: Archive, options: dict[str, Any]) -> dict[str, Any]:
        if options["to"]:
            return self._bring(archive, options["to"], options["into"])
        if options["begin"]:
            restarted = archives.begin(archive)
            self.stderr.write(f"The log goes to {archive.log}{'; the server was started again' if restarted else ''}.")
            self.stderr.write("Now `manage.py recover --base`, and again every week.")
            return {"ok": True, "folder": str(archive.folder), "restarted": restarted}
        if options["base"]:
            path = archives.take_base(archive)
            self.stderr.write(f"{path} is whole: every instant from now on can be brought back.")
            return {"ok": True, "base": str(path)}
        bases = archive.bases()
        for at, path in bases.items():
            self.stderr.write(f"from {at:%Y-%m-%d %H:%M:%S} UTC on: {path}")
        if not bases:
            self.stderr.write("No instant can be brought back yet: `manage.py recover --begin`, then `--base`.")
        return {"ok": True, "since": min(bases).isoformat() if bases else None}

    def _bring(self, archive: Archive, moment: datetime, name: str | None) -> dict[str, Any]:
        into = servers.named(name or f"recovered_{moment:%Y%m%d_%H%M%S}", settings.DATABASE_URL)
        found = bringing.bring(archive, moment, into, now=datetime.now(UTC), say=self.stderr.write)
        for line in (*found.differences, *found.broken):
            self.stderr.write(f"WRONG  {line}")
        self.stderr.write(NEXT.format(shown=into.shown, at=moment))
        told = {"database": into.shown, "at": moment.isoformat(), "migrated": found.migrated}
        return {"ok": found.ok, **told, "differences": found.differences, "broken": found.broken}


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no instant like 2026-11-21 10:00") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
