"""Bring the site's tables to its code, in one command that leaves them as they were when something fails."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.domain.errors import Unavailable
from apps.ops import stopping
from apps.ops.upgrading import services


class Command(BaseCommand):
    """`manage.py upgrade`; status 1 when it failed and the database is as before, 2 when it was not begun."""

    help = "Stop the site here, back up, migrate, try what came of it; go back to the backup when anything fails."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what is only looked at and what is overlooked."""
        parser.add_argument("--check", action="store_true", help="say what would be migrated; status 1 when something")
        parser.add_argument("--anyway", action="store_true", help="back up and try although nothing is to be migrated")
        parser.add_argument("--despite-verify", action="store_true", help="accept invariants that do not hold")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Upgrade, and say what came of it."""
        try:
            pending = services.pending()
            if options["check"]:
                self._end({"ok": not pending, "sentence": pending or "The tables fit this code."}, options)
                return
            if not pending and not options["anyway"]:
                self._end({"ok": True, "sentence": "The tables fit this code: there is nothing to do."}, options)
                return
            done = services.upgrade(
                clock=lambda: datetime.now(UTC),
                say=self.stderr.write,
                actor=f"{stopping.person()} (command line)",
                despite_verify=options["despite_verify"],
            )
        except Unavailable as error:
            raise CommandError(str(error), returncode=2) from error
        self._end(asdict(done), options)

    def _end(self, answer: dict[str, Any], options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(answer))
        else:
            self.stdout.write(str(answer["sentence"]))
            if answer["ok"] and answer.get("backup"):
                self.stdout.write("Start the site: `make run`, `manage.py up`, or your service manager.")
        if not answer["ok"]:
            raise SystemExit(1)
