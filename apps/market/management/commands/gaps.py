"""Find, list and mend what is missing of the stored prices."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.domain.errors import Unavailable
from apps.market.management import spelling
from apps.market.models import Gap, Instrument
from apps.market.services import gaps, refilling

_ROUNDS = 5  # a run asks a bounded number of questions; what is left is asked in the next


class Command(BaseCommand):
    """`manage.py gaps [SYMBOL ...] [--refill]`; exit status 0 when nothing is open."""

    help = "Compare the stored prices with what should be there, list every gap, and with --refill ask the venues."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare where to look and what to do."""
        parser.add_argument("symbols", nargs="*", metavar="SYMBOL", help="default: every enabled instrument")
        parser.add_argument("--since", type=spelling.instant, metavar="INSTANT", help="default: after the last look")
        parser.add_argument("--until", type=spelling.instant, metavar="INSTANT", help="default: a minute ago")
        parser.add_argument("--refill", action="store_true", help="ask the venues for what is missing, at once")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Look, mend if asked, list."""
        now = datetime.now(UTC)
        if options["until"] and options["until"] > now:
            raise CommandError("--until lies in the future; leave it out for everything up to now")
        instruments = _instruments(options["symbols"])
        try:
            for instrument in instruments:
                gaps.catch_up(instrument, since=options["since"], until=options["until"] or now - gaps.SETTLES, now=now)
            if options["refill"]:
                _refill(now)
        except Unavailable as error:
            raise CommandError(str(error)) from error
        rows = gaps.unfilled().filter(instrument__in=instruments).select_related("instrument").order_by("since", "pk")
        self._report(list(rows), as_json=options["json"])
        if any(row.state == Gap.State.OPEN for row in rows):
            raise SystemExit(1)

    def _report(self, rows: list[Gap], *, as_json: bool) -> None:
        if as_json:
            is_open = any(row.state == Gap.State.OPEN for row in rows)
            self.stdout.write(json.dumps({"ok": not is_open, "gaps": [_as_json(row) for row in rows]}))
            return
        for row in rows:
            numbers = f" trades {row.first_id} to {row.last_id}" if row.first_id else ""
            why = f": {row.why}" if row.why else ""
            span = f"{row.since.isoformat()} to {row.until.isoformat()}"
            self.stdout.write(f"{row.instrument.symbol:12} {row.kind:8} {row.state:8} {span}{numbers}{why}")
        self.stdout.write(f"{len(rows)} gaps." if rows else "Nothing is missing.")


def _instruments(symbols: list[str]) -> list[Instrument]:
    rows = Instrument.objects.filter(symbol__in=symbols) if symbols else Instrument.objects.filter(enabled=True)
    found = list(rows)
    if unknown := sorted(set(symbols) - {row.symbol for row in found}):
        raise CommandError(
            f"{', '.join(unknown)}: no instrument of this site; add it in the admin, or mind the spelling"
        )
    return found


def _refill(now: datetime) -> None:
    for count in range(_ROUNDS):
        done = refilling.refill(now + count * timedelta.resolution, at_once=True)
        if done.skipped:
            raise CommandError("another process asks the venues at this moment; try again in a minute")
        if not done.open or done.pages < refilling.PAGES:
            return


def _as_json(row: Gap) -> dict[str, Any]:
    return {
        "instrument": row.instrument.symbol,
        "kind": row.kind,
        "state": row.state,
        "since": row.since.isoformat(),
        "until": row.until.isoformat(),
        "first_id": row.first_id,
        "last_id": row.last_id,
        "seconds": (row.until - row.since).total_seconds(),
        "attempts": row.attempts,
        "why": row.why,
    }
