"""Make a report now and write its files, or make every report that is due."""

import json
from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.domain.calendars import NotCovered
from apps.domain.errors import Refused
from apps.reporting.models import FileFormat, Report, ReportKind
from apps.reporting.reports import making, selectors
from apps.reporting.reports.making import Wish
from apps.reporting.reports.subjects import Subject
from apps.strategies.models import Strategy
from apps.trading.management import asking


class Command(BaseCommand):
    """`manage.py report --account 1 --kind daily --output reports/`; `manage.py report --due`."""

    help = "Make a report of an account now, and write it as HTML, PDF and CSV; or make what is due."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare which report, and where it is written to."""
        parser.add_argument("--due", action="store_true", help="make every report that is due, as the timetable does")
        parser.add_argument("--account", type=int, metavar="ID", help="whose trading")
        parser.add_argument("--strategy", metavar="NAME", help="only what this strategy did")
        kinds = [str(kind) for kind in ReportKind]
        parser.add_argument("--kind", choices=kinds, default=kinds[0], help="which time it is about")
        parser.add_argument("--day", metavar="DAY", help="in that time, like 2026-01-31; the last one if left out")
        parser.add_argument("--output", metavar="FOLDER", help="write HTML, PDF and CSV files there")
        parser.add_argument("--json", action="store_true", help="print its figures as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it, and say what it says."""
        if options["due"]:
            wanted = making.want_due(timezone.now())
            made = making.make_waiting(timezone.now, seconds=3600.0)
            self.stdout.write(f"{wanted} wanted, {made} made.")
            return
        if options["account"] is None:
            raise CommandError("Name an account with --account, or say --due.")
        row = self._made(options)
        if options["output"]:
            paths = _written(Path(options["output"]), row)
            self.stderr.write("\n".join(str(path) for path in paths))
        self.stdout.write(json.dumps(row.figures, allow_nan=False) if options["json"] else _told(row))

    def _made(self, options: dict[str, Any]) -> Report:
        now = timezone.now()
        number = asking.strategy(options["strategy"])
        strategy = Strategy.objects.get(pk=number) if number else None
        subject = Subject(account=asking.account(options["account"]), strategy=strategy)
        day: datetime | None = asking.midnight(options["day"])
        try:
            kind = ReportKind(options["kind"])
            period = making.period_of(subject.account, kind, now, day=day.date() if day else None)
            row = making.want(Wish(subject=subject, period=period), actor="command", now=now)
        except (Refused, NotCovered) as error:
            raise CommandError(str(error)) from None
        making.make_one(row.pk, timezone.now)  # a worker may have been quicker
        row.refresh_from_db()
        if not row.figures:
            raise CommandError(f"{row} is {row.state}: somebody else makes it now.")
        return row


def _told(row: Report) -> str:
    document = selectors.document(row)
    assert document is not None
    cards = [f"{card.title}: {card.value} ({card.beside})" for card in document.cards]
    return "\n".join([document.title, ", ".join(document.about), document.verdict.text, *cards])


def _written(folder: Path, row: Report) -> list[Path]:
    """Write the files of a report and return their paths. Raises CommandError."""
    contents = {f".{kind}": selectors.file(row, kind) for kind in FileFormat}
    contents |= {
        f"-{table.name}.csv": (selectors.csv(row, table.name) or "").encode() for table in selectors.tables(row)
    }
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for ending, content in contents.items():
            paths.append(folder / f"{row.file_name}{ending}")
            paths[-1].write_bytes(content or b"")
    except OSError as error:
        raise CommandError(f"{folder} cannot be written: {error.strerror}") from error
    return paths
