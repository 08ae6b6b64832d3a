"""`manage.py simulator`: an exchange on loopback for demos, tests and drills."""

from argparse import Namespace
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.simulator import cli


class Command(BaseCommand):
    help = "Run a simulated exchange (WebSocket feed and REST on one port), or record generated ticks to a file."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        cli.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            cli.run(Namespace(**options), self._say)
        except (ValueError, OSError) as refused:
            raise CommandError(str(refused)) from None

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
