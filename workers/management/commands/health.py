"""Says whether the site, or one kind of process on this machine, is well: for supervisors and containers."""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from apps.web import checking


class Command(BaseCommand):
    """`manage.py health worker:exits`; exit status 1 when something is red."""

    help = "Say whether the site, or one kind of process on this machine, is well; status 1 when it is not."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the kind of process and the form of the answer."""
        parser.add_argument("process", nargs="?", default="", help="what its name begins with: listener, worker:exits")
        parser.add_argument("--anywhere", action="store_true", help="processes of other machines count as well")
        parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")

    def handle(self, *args: Any, process: str, anywhere: bool, **options: Any) -> None:
        """Look, say, and end with 0 or 1."""
        now, host = timezone.now(), "" if anywhere else settings.HOST_NAME
        found = checking.of_process(process, now, host) if process else checking.checks(now)
        good = all(check.ok for check in found)
        if options["json"]:
            answer = {check.name: {"ok": check.ok, "seen": check.seen} for check in found}
            self.stdout.write(json.dumps({"ok": good, "checks": answer}))
        else:
            for check in found:
                self.stdout.write(f"{'ok ' if check.ok else 'RED'} {check.name}: {check.seen}")
        raise SystemExit(0 if good else 1)
