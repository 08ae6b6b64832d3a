"""Write the disposals of a year as CSV, for whoever files the taxes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.domain.accounting import Method
from apps.domain.taxes import LONG_AFTER, Calendar
from apps.trading.management import asking
from apps.trading.statistics import exporting
from apps.trading.statistics.exporting import FIRST_YEAR, LAST_YEAR, Export


class Command(BaseCommand):
    """`manage.py taxes --account 1 --year 2026 --method fifo --zone Europe/Berlin --output 2026.csv`."""

    help = "Write one line of CSV per disposal of a year: what was sold, what it had cost, what it gained."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare whose disposals, of when, and by which rules."""
        parser.add_argument("--account", type=int, required=True, metavar="ID", help="whose disposals")
        parser.add_argument("--year", type=int, required=True, metavar="YEAR", help="in which they were realised")
        methods = [str(method) for method in Method]
        parser.add_argument("--method", choices=methods, default=methods[0], help="which cost a sale is set against")
        parser.add_argument("--zone", default="UTC", metavar="NAME", help="whose year and days, like Europe/Berlin")
        parser.add_argument(
            "--long-after",
            type=int,
            default=LONG_AFTER,
            metavar="DAYS",
            help="held for more days than these is long-term",
        )
        parser.add_argument("--output", metavar="FILE", help="where to; standard output if left out")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it, a line at a time."""
        if not FIRST_YEAR <= options["year"] <= LAST_YEAR:
            raise asking.wrong(f"year {options['year']}: from {FIRST_YEAR} to {LAST_YEAR}")
        if options["long_after"] < 0:
            raise asking.wrong(f"long-after {options['long_after']}: 0 days or more")
        calendar = Calendar(zone=asking.zone(options["zone"]), long_after=options["long_after"])
        account = asking.account(options["account"])
        wanted = Export(account=account.pk, year=options["year"], method=Method(options["method"]), calendar=calendar)
        lines = exporting.lines(wanted)
        if options["output"] is None:
            for line in lines:
                self.stdout.write(line, ending="")
            return
        count = _written(Path(options["output"]), lines)
        self.stdout.write(f"{count} disposals of {account} in {wanted.year} written to {options['output']}.")


def _written(path: Path, lines: Iterable[str]) -> int:
    """Write a file that is whole or not there at all, and return how many disposals it holds."""
    draft = path.with_name(f"{path.name}.part")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            count = sum(1 for _ in map(file.write, lines)) - 1
        draft.replace(path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    return count
