"""Put a backup into a new database, and prove it."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.domain.errors import Unavailable
from apps.ops.backups import restoring, servers, services
from apps.ops.backups.restoring import Restored
from apps.ops.backups.servers import Target

NEXT = """\
Next:
  1. Stop this site if it still runs (Ctrl-C at `up`): two sites on one account would both leave its positions.
  2. Put the key file back (KEY_FILE, {key_file}): no backup contains it, and without it no broker credential opens.
     The same holds for SECRET_KEY (or var/secret_key); a new one only signs everybody out.
  3. Set DATABASE_URL to the restored database {shown}{market}.
  4. `manage.py halt --reason "restored"`, start the site, let it compare its orders and positions with the brokers
     (what happened there after {at:%Y-%m-%d %H:%M:%S} UTC is not in this backup), then `manage.py resume`.
"""


class Command(BaseCommand):
    """`manage.py restore FOLDER --into NAME`; exit status 1 when it is not what was backed up."""

    help = "Restore a backup into a new or empty database, compare it with its manifest and ask every invariant."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare from where and to where."""
        parser.add_argument("file", metavar="FOLDER", help="the backup: its folder, or a file in it")
        parser.add_argument(
            "--into",
            required=True,
            help="a new database's name on the site's server, or postgresql://... of an empty one",
        )
        parser.add_argument("--market-into", help="the same for a market store that had a server of its own")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Restore, and say what to do next."""
        try:
            site = servers.named(options["into"], settings.DATABASE_URL)
            market = options["market_into"] and servers.named(options["market_into"], settings.MARKET_DATABASE_URL)
            source = restoring.opened(Path(options["file"]).expanduser(), services.key_file())
            restored = restoring.restore(source, site, market or None, say=self.stderr.write)
        except Unavailable as error:
            raise CommandError(str(error)) from error
        self._report(restored, site, market or None, as_json=options["json"])
        if not restored.ok:
            raise SystemExit(1)

    def _report(self, restored: Restored, site: Target, market: Target | None, *, as_json: bool) -> None:
        for line in (*restored.differences, *restored.broken):
            self.stderr.write(f"WRONG  {line}")
        found = restored.manifest
        if restored.ok:
            self.stderr.write(f"{found.name} is restored: counts, books and journal agree, every invariant holds.\n")
        else:
            self.stderr.write(f"{found.name} is restored, but it is NOT as it was: see above.\n")
        beside = f" and MARKET_DATABASE_URL to {market.shown}" if market else ""
        self.stderr.write(NEXT.format(key_file=settings.KEY_FILE, shown=site.shown, market=beside, at=found.at))
        if as_json:
            answer = {
                "ok": restored.ok,
                "name": found.name,
                "database": site.shown,
                "migrated": restored.migrated,
                "differences": restored.differences,
                "broken": restored.broken,
            }
            self.stdout.write(json.dumps(answer))
