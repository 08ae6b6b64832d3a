"""Write trade prints to a file, or store those of a file."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apps.market.management.exchanging import ExchangeCommand
from apps.market.models import Instrument
from apps.market.services import interchange
from apps.market.services.interchange import Imported


class Command(ExchangeCommand):
    """`manage.py ticks export BTC-USD btc.csv` and `manage.py ticks import btc.csv --instrument BTC-USD`."""

    help = "Write stored trade prints to CSV, Parquet or Feather, or store those of such a file: all or none."
    noun = "ticks"

    def export(self, instrument: Instrument, until: datetime, options: dict[str, Any]) -> int:
        """Write the file."""
        span = (options["since"], until)
        return interchange.export_ticks(Path(options["file"]), instrument, *span, floats=options["floats"])

    def take_in(self, instrument: Instrument, now: datetime, options: dict[str, Any]) -> Imported:
        """Read the file."""
        zone = UTC if options["utc"] else None
        return interchange.import_ticks(Path(options["file"]), instrument, now=now, zone=zone)
