"""Say in plain words what is wrong with this site, and what to do."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.ops import doctor
from apps.ops.doctor import Finding, Level


class Command(BaseCommand):
    """`manage.py doctor --json`; exit status 1 when something has to be done."""

    help = "Look at settings, servers, tables, processes, feeds, timetable, disks, keys and backups; say what to do."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare how much is said."""
        parser.add_argument("--all", action="store_true", help="say what is as it should be, too")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Examine and report."""
        found = doctor.examine(datetime.now(UTC))
        wrong = [one for one in found if one.level is Level.WRONG]
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not wrong, "findings": [asdict(one) for one in found]}))
        else:
            for one in found:
                if options["all"] or one.level is not Level.OK:
                    self._tell(one)
            self.stdout.write(_verdict(found, len(wrong)))
        if wrong:
            raise SystemExit(1)

    def _tell(self, one: Finding) -> None:
        self.stdout.write(f"{one.level.upper():5}  {one.area}, {one.name}: {one.seen}")
        if one.do:
            self.stdout.write(f"       -> {one.do}")


def _verdict(found: list[Finding], wrong: int) -> str:
    looked = f"{len(found)} things looked at"
    if not wrong:
        return f"{looked}: nothing has to be done."
    return f"{looked}: {wrong} {'is' if wrong == 1 else 'are'} wrong."
