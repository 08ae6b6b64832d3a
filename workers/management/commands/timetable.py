"""`manage.py timetable`: make the missing rows of the timetable and say how the others differ."""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.ops import timetable
from workers.timetable import JOBS


class Command(BaseCommand):
    """Creates rows that are missing, overwrites none, reports rows that the code does not know."""

    help = "Make the missing rows of the timetable; overwrite none; report rows that the code does not know."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take --json and --check."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--check", action="store_true", help="change nothing; status 1 when rows are missing")

    def handle(self, *_args: Any, json: bool, check: bool, **_options: Any) -> None:
        """Complete the timetable, or only check it."""
        created = [] if check else timetable.complete(JOBS)
        review = timetable.review(JOBS)
        self.stdout.write(_as_json(created, review) if json else "\n".join(_as_text(JOBS, created, review)))
        if check and review.missing:
            raise CommandError(f"missing: {', '.join(review.missing)}; run `manage.py timetable`", returncode=1)


def _as_json(created: Sequence[str], review: timetable.Review) -> str:
    return json.dumps({"created": created, **asdict(review)})


def _as_text(jobs: Sequence[timetable.Job], created: Sequence[str], review: timetable.Review) -> list[str]:
    marks = {
        **dict.fromkeys(created, "created"),
        **dict.fromkeys(review.missing, "missing"),
        **dict.fromkeys(review.edited, "edited by a person"),
        **dict.fromkeys(review.switched_off, "switched off"),
    }
    lines = [f"{job.name:24} every {job.every!s:>8}  queue {job.queue:12} {marks.get(job.name, '')}" for job in jobs]
    return [line.rstrip() for line in lines] + [f"{name:24} not in the code" for name in review.unknown]
