"""Write the units of systemd."""

from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from apps.ops import units
from apps.ops.servers.places import REPOSITORY

FOLDER: Final = REPOSITORY / "deploy" / "systemd"


class Command(BaseCommand):
    """`manage.py units`; with --check status 1 when the files are not those of this code."""

    help = "Write a unit of systemd for each kind of process, as `up` starts it; --check only compares."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare where."""
        parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where to (default deploy/systemd)")
        parser.add_argument("--check", action="store_true", help="write nothing; status 1 when something differs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write or compare."""
        look = units.differing if options["check"] else units.write
        changed = look(options["folder"], settings)
        for name in changed:
            self.stderr.write(f"{name} {'differs' if options['check'] else 'written'}")
        if options["check"] and changed:
            raise SystemExit(1)
