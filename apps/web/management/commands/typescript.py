"""Writes the TypeScript client of the API."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.web.api import published


class Command(BaseCommand):
    """`typescript` prints the client, `typescript --out FILE` writes it; the site gives the same at /api/client.ts."""

    help = "Write the TypeScript client of the API."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare where to write."""
        parser.add_argument("--out", type=Path, metavar="FILE", help="Where to; without it, standard output.")

    def handle(self, *args: Any, out: Path | None, **options: Any) -> None:
        """Write the file."""
        text = published.as_typescript()
        if out is None:
            self.stdout.write(text.decode(), ending="")
            return
        try:
            out.write_bytes(text)
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error.strerror}.") from error
        self.stdout.write(f"{out}: {len(text)} bytes.")
