"""Fetch candles of the past from the instruments' venues."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from apps.domain import spans
from apps.domain.errors import Refused, Unavailable
from apps.market.management import spelling
from apps.market.services import history, venues
from apps.market.services.history import Job, Page
from apps.market.store import Timeframe

SAYS_EVERY = timedelta(seconds=10)  # where nobody looks at a bar
INTERRUPTED = 130  # what shells expect after Ctrl-C
_COLUMNS = (TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


@dataclass(slots=True, kw_only=True)
class Sum:
    """What the command reports of one instrument."""

    instrument: str
    timeframe: str
    since: str
    until: str
    buckets: int
    known_before: int
    candles: int = 0
    empty: int = 0
    changed: int = 0

    def add(self, page: Page) -> None:
        """Count one page."""
        self.candles += page.candles
        self.empty += page.buckets - page.candles
        self.changed += page.changed


class Command(BaseCommand):
    """`manage.py backfill BTC-USD --since 2026-01-01T00:00:00Z`; started again it goes on where it was stopped."""

    help = "Fetch candles of the past by REST. Stopped or killed at any point, the same command goes on from there."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what to fetch."""
        parser.add_argument("symbols", nargs="*", metavar="SYMBOL", help="such as BTC-USD")
        parser.add_argument("--all", action="store_true", help="every enabled instrument")
        parser.add_argument("--since", type=spelling.instant, required=True, metavar="INSTANT", help="first candle")
        parser.add_argument("--until", type=spelling.instant, metavar="INSTANT", help="end, default now")
        parser.add_argument("--timeframe", type=spelling.timeframe, default=Timeframe.MINUTE, help="default 1m")
        parser.add_argument("--again", action="store_true", help="ask for what is known already, too")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Fetch, instrument by instrument."""
        if bool(options["symbols"]) == options["all"]:
            raise CommandError("name instruments, or use --all for every one")
        sums: list[Sum] = []
        try:
            span = (options["since"], options["until"], datetime.now(UTC))
            for job in history.plan(options["symbols"], options["timeframe"], *span):
                sums.append(_sum(job, again=options["again"]))
                self._fetch(job, sums[-1], again=options["again"])
        except Refused as error:
            raise CommandError(str(error)) from error
        except Unavailable as error:
            raise CommandError(f"{error}. What came is stored; the same command goes on from there.") from error
        except KeyboardInterrupt:
            self.stderr.write("Stopped. What came is stored; the same command goes on from there.")
            raise SystemExit(INTERRUPTED) from None
        self._report(sums, as_json=options["json"])

    def _fetch(self, job: Job, done: Sum, *, again: bool) -> None:
        with history.alone(job), venues.rest(job.instrument.feed) as rest, self._following(done) as follow:
            for page in history.fetch(job, rest, again=again):
                done.add(page)
                follow.show()

    def _report(self, sums: list[Sum], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"ok": True, "backfills": [asdict(item) for item in sums]}))
            return
        for item in sums:
            self.stdout.write(
                f"{item.instrument} {item.timeframe} {item.since} to {item.until}: {item.candles} candles fetched, "
                f"{item.changed} of them new or different, {item.empty} buckets without a trade, "
                f"{item.known_before} of {item.buckets} known before"
            )

    @contextmanager
    def _following(self, done: Sum) -> "Iterator[_Follower]":
        console = Console(stderr=True)
        with Progress(*_COLUMNS, console=console, disable=not console.is_terminal) as progress:
            yield _Follower(done, progress, console)


class _Follower:
    """Shows how far one instrument is: as a bar for a person, as a line now and then for a log."""

    def __init__(self, done: Sum, progress: Progress, console: Console) -> None:
        self._done = done
        self._progress = progress
        self._console = console
        self._said_at = datetime.now(UTC)
        self._task = progress.add_task(done.instrument, total=done.buckets, completed=done.known_before)

    def show(self) -> None:
        """Show the present state."""
        done, now = self._done, datetime.now(UTC)
        reached = done.known_before + done.candles + done.empty
        self._progress.update(self._task, completed=reached)
        if not self._console.is_terminal and now - self._said_at >= SAYS_EVERY:
            self._said_at = now
            self._console.print(f"{done.instrument} {done.timeframe}: {reached} of {done.buckets} candles")


def _sum(job: Job, *, again: bool) -> Sum:
    left = spans.length(history.left(job, again=again)) // job.timeframe.width
    return Sum(
        instrument=job.instrument.symbol,
        timeframe=job.timeframe.value,
        since=job.since.isoformat(),
        until=job.until.isoformat(),
        buckets=job.buckets,
        known_before=job.buckets - left,
    )
