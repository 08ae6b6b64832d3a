"""Write candles to a file, or store those of a file."""

import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from apps.market.management import spelling
from apps.market.management.exchanging import ExchangeCommand
from apps.market.models import Instrument
from apps.market.services import interchange
from apps.market.services.interchange import Imported
from apps.market.store import Timeframe

_LENGTH = re.compile(r"([1-9][0-9]{0,4})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Command(ExchangeCommand):
    """`manage.py candles export BTC-USD btc.csv` and `manage.py candles import btc.csv --instrument BTC-USD`."""

    help = "Write stored candles to CSV, Parquet or Feather, or store the candles of such a file: all or none."
    noun = "candles"

    def add_to_both(self, parser: CommandParser) -> None:
        """Declare the length of a candle."""
        parser.add_argument("--timeframe", type=spelling.timeframe, default=Timeframe.MINUTE, help="default 1m")

    def add_to_import(self, parser: CommandParser) -> None:
        """Declare the length of the file's candles."""
        parser.add_argument("--bars", type=_length, metavar="LENGTH", help="the file's candles are this long, like 4h")

    def export(self, instrument: Instrument, until: datetime, options: dict[str, Any]) -> int:
        """Write the file."""
        span = (options["since"], until)
        path, floats = Path(options["file"]), options["floats"]
        return interchange.export_candles(path, instrument, options["timeframe"], *span, floats=floats)

    def take_in(self, instrument: Instrument, now: datetime, options: dict[str, Any]) -> Imported:
        """Read the file."""
        zone = UTC if options["utc"] else None
        path = Path(options["file"])
        return interchange.import_candles(path, instrument, options["timeframe"], bars=options["bars"], zone=zone)


def _length(text: str) -> timedelta:
    found = _LENGTH.fullmatch(text)
    if not found:
        raise ArgumentTypeError(f"{text!r} is no length; write it like 5m, 4h or 1d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
