"""What the commands that move prices in and out of files have in common."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.domain.errors import Refused, Unavailable
from apps.market.management import spelling
from apps.market.models import Instrument
from apps.market.services.interchange import Imported

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class ExchangeCommand(ABC, BaseCommand):
    """`export SYMBOL FILE` and `import FILE --instrument SYMBOL`; the kind of file follows from its name."""

    requires_system_checks = ()
    noun = ""

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the two directions."""
        ways = parser.add_subparsers(dest="way", required=True, parser_class=type(parser))
        out = ways.add_parser("export", help="write a file")
        out.add_argument("symbol", metavar="SYMBOL", help="such as BTC-USD")
        out.add_argument("file", metavar="FILE", help="ends in .csv, .csv.gz, .parquet or .feather")
        out.add_argument(
            "--since", type=spelling.instant, default=BEGINNING, metavar="INSTANT", help="default: the first"
        )
        out.add_argument("--until", type=spelling.instant, metavar="INSTANT", help="default now")
        out.add_argument("--floats", action="store_true", help="doubles instead of exact decimals in Parquet, Feather")
        into = ways.add_parser("import", help="read a file; all of it or none")
        into.add_argument("file", metavar="FILE", help="ends in .csv, .json (both also .gz), .parquet or .feather")
        into.add_argument("--instrument", required=True, metavar="SYMBOL", help="whose prices they are")
        into.add_argument("--utc", action="store_true", help="times without an offset are UTC")
        for way in (out, into):
            way.add_argument("--json", action="store_true", help="one JSON object on standard output")
            self.add_to_both(way)
        self.add_to_import(into)

    def add_to_both(self, parser: CommandParser) -> None:
        """Declare what both directions take besides; nothing unless overridden."""
        return

    def add_to_import(self, parser: CommandParser) -> None:
        """Declare what only an import takes; nothing unless overridden."""
        return

    def handle(self, *args: Any, **options: Any) -> None:
        """Export or import."""
        now = datetime.now(UTC)
        try:
            if options["way"] == "export":
                until = options["until"] or now
                if options["since"] >= until:
                    raise CommandError(f"--since must be before --until, {until.isoformat()}")
                self._report_export(self.export(_instrument(options["symbol"]), until, options), options)
            else:
                self._report_import(self.take_in(_instrument(options["instrument"]), now, options), options)
        except Refused as error:
            raise CommandError("\n".join(str(problem) for problem in error.problems)) from error
        except Unavailable as error:
            raise CommandError(f"{error}. Nothing of the file was stored.") from error

    @abstractmethod
    def export(self, instrument: Instrument, until: datetime, options: dict[str, Any]) -> int:
        """Write the file and return how many rows it holds."""

    @abstractmethod
    def take_in(self, instrument: Instrument, now: datetime, options: dict[str, Any]) -> Imported:
        """Read the file and return what became of it."""

    def _report_export(self, rows: int, options: dict[str, Any]) -> None:
        path = str(Path(options["file"]))
        said = f"{rows} {self.noun} written to {path}"
        self.stdout.write(json.dumps({"ok": True, "rows": rows, "file": path}) if options["json"] else said)

    def _report_import(self, done: Imported, options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps({"ok": True, **asdict(done)}, default=_iso))
            return
        extra = [
            f"{count} {what}"
            for count, what in ((done.doubled, "lines were there twice"), (done.left_out, "rows made no whole candle"))
            if count
        ]
        span = f"{done.since.isoformat()} to {done.until.isoformat()}"
        told = [f"{done.rows} {self.noun} from {span}", f"{done.changed} of them new or different", *extra]
        self.stdout.write("; ".join(told))


def _instrument(symbol: str) -> Instrument:
    found = Instrument.objects.filter(symbol=symbol).first()
    if found is None:
        raise CommandError(f"{symbol} is no instrument of this site: add it in the admin, or mind the spelling")
    return found


_iso: Callable[[datetime], str] = datetime.isoformat
