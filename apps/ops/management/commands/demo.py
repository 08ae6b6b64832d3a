"""`manage.py demo`: load the demo for the first administrator."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.ops import demo


class Command(BaseCommand):
    """Makes what is missing of the demo; repeating it changes nothing."""

    help = "Load demo instruments, an account with play money and two strategies; repeating it changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take --json."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Load the demo and say what was made."""
        owner = get_user_model().objects.filter(is_superuser=True).order_by("pk").first()
        if owner is None:
            raise CommandError("There is no administrator to own the demo: run `manage.py createsuperuser` first.")
        loaded = demo.load(owner_id=owner.pk, now=timezone.now())
        self.stdout.write(json.dumps(asdict(loaded)) if options["json"] else _as_text(loaded))


def _as_text(loaded: demo.Loaded) -> str:
    made = [*loaded.instruments, *([f"account {loaded.account}"] if loaded.account else []), *loaded.strategies]
    lines = [f"made: {', '.join(made)}" if made else "everything was there"]
    if loaded.unknown:
        lines.append(f"without a known grid, left out: {', '.join(loaded.unknown)}")
    return "\n".join(lines)
