"""`manage.py timetable`: make the missing rows of the timetable, say how the others differ, and when each is due."""

import json
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.ops import timetable
from apps.ops.jobs import selectors
from apps.ops.jobs.models import Job
from workers.timetable import JOBS, PLANNED


class Command(BaseCommand):
    """Creates rows that are missing, overwrites none, reports rows that the code does not know."""

    help = "Make the missing rows of the timetable; overwrite none; report rows that the code does not know."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take --json, --check and --next."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--check", action="store_true", help="change nothing; status 1 when rows are missing")
        parser.add_argument("--next", action="store_true", help="list the calendar's jobs by when they are due next")

    def handle(self, *_args: Any, json: bool, check: bool, next: bool, **_options: Any) -> None:
        """Complete the timetable, or only check it, or show what comes."""
        if next:
            self.stdout.write(_coming(selectors.jobs(), as_json=json))
            return
        created = [] if check else [*timetable.complete(JOBS), *timetable.plan(PLANNED, datetime.now(UTC))]
        review = _together(timetable.review(JOBS), timetable.review_planned(PLANNED))
        self.stdout.write(_as_json(created, review) if json else "\n".join(_as_text(created, review)))
        if check and review.missing:
            raise CommandError(f"missing: {', '.join(review.missing)}; run `manage.py timetable`", returncode=1)


def _together(*reviews: timetable.Review) -> timetable.Review:
    found = [asdict(review) for review in reviews]
    return timetable.Review(**{name: tuple(each for one in found for each in one[name]) for name in found[0]})


def _as_json(created: Sequence[str], review: timetable.Review) -> str:
    return json.dumps({"created": created, **asdict(review)})


def _as_text(created: Sequence[str], review: timetable.Review) -> list[str]:
    marks = {
        **dict.fromkeys(created, "created"),
        **dict.fromkeys(review.missing, "missing"),
        **dict.fromkeys(review.edited, "edited by a person"),
        **dict.fromkeys(review.switched_off, "switched off"),
    }
    lines = [f"{job.name:28} every {job.every!s:>8}  queue {job.queue:12} {marks.get(job.name, '')}" for job in JOBS]
    lines += [
        f"{each.name:28} {each.rule}, {each.zone or each.calendar}  {marks.get(each.name, '')}" for each in PLANNED
    ]
    return [line.rstrip() for line in lines] + [f"{name:28} not in the code" for name in review.unknown]


def _coming(jobs: Iterable[Job], *, as_json: bool) -> str:
    rows = sorted((_row(job) for job in jobs), key=lambda row: (row["next"] is None, row["next"], row["name"]))
    if as_json:
        return json.dumps(rows)
    lines = [f"{row['next'] or row['problem'] or '-':26} {row['name']:28} {row['rule']}  {row['last']}" for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _row(job: Any) -> dict[str, Any]:
    due = job.next_at is not None and job.enabled and not job.problem
    last = f"{job.last_state} {job.last_started_at:%Y-%m-%d %H:%M:%S}" if job.last_state else ""
    return {
        "name": job.name,
        "rule": job.rule,
        "calendar": job.calendar,
        "enabled": job.enabled,
        "next": job.next_at.isoformat() if due else None,
        "problem": job.problem if job.enabled else "switched off",
        "last": last,
        "seconds": job.last_duration.total_seconds() if job.last_duration else None,
        "result": job.last_result or job.last_error or "",
    }
