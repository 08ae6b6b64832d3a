"""Push a recorded tick file through the whole chain and say what it amounted to."""

import json
import os
import threading
import time
from argparse import SUPPRESS, ArgumentTypeError
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from apps.domain.errors import Refused
from apps.journal.models import Lease
from apps.market.models import Instrument
from apps.ops import first_run
from workers.replay import chain, crowd, outcome, recording, scratch
from workers.replay.recording import Survey, Unreadable

_LED_LATELY = timedelta(seconds=5)
_MOST_POSITIONS = 1_000_000
_EXPECTED = (Unreadable, chain.NotLeading, chain.Broken, scratch.NoScratch, Refused)


class Command(BaseCommand):
    """`manage.py replay FILE`: in a scratch database of its own, or with --here in the present one."""

    help = "Push recorded ticks through decoder, gate, levels and exits; exit status 1 when an invariant is broken."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the file, the pace and the place."""
        parser.add_argument("file", metavar="FILE", help='lines {"at_ns": ..., "msg": {...}}, plain or gzipped')
        parser.add_argument("--speed", type=_speed, default=0.0, help="times real time; default: as fast as it can")
        parser.add_argument("--positions", type=_count, default=1000, help="how many to open (default 1000)")
        parser.add_argument("--seed", type=_seed, default=1, help="same seed, same positions (default 1)")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
        parser.add_argument("--closes", metavar="CSV", help="write every executed exit to this file")
        parser.add_argument("--here", action="store_true", help="use the present database and its positions")
        parser.add_argument("--scratch", action="store_true", help=SUPPRESS)  # this is the child in that database

    def handle(self, *args: Any, **options: Any) -> None:
        """Replay the file."""
        path = Path(options["file"])
        try:
            survey = recording.survey(path)
            if options["scratch"]:
                status = self._in_scratch(path, survey, options)
            elif options["here"]:
                status = self._here(path, survey, options)
            else:
                status = self._elsewhere(options)
        except _EXPECTED as error:
            raise CommandError(" ".join(str(error).split())) from error
        if status:
            raise SystemExit(status)

    def _elsewhere(self, options: dict[str, Any]) -> int:
        """Run this command again in a scratch database."""
        words = [
            *("replay", options["file"], "--scratch"),
            *(f"--{name}={options[name]}" for name in ("speed", "positions", "seed")),
            *(["--closes", options["closes"]] if options["closes"] else []),
            *(["--json"] if options["json"] else []),
        ]
        with scratch.database() as url:
            return scratch.run(words, database_url=url)

    def _in_scratch(self, path: Path, survey: Survey, options: dict[str, Any]) -> int:
        if not scratch.is_scratch():
            raise CommandError("--scratch is for the replay's own database; leave it out.")
        threading.Thread(target=_end_with_parent, daemon=True).start()
        first_run.migrate()
        instruments = crowd.list_instruments(survey.listings)
        now = datetime.now(UTC)
        opened = crowd.open_positions(survey.listings, options["positions"], seed=options["seed"], now=now)
        self._follow("positions", options["positions"], opened)
        return self._replay(path, survey, instruments, 0, options)

    def _here(self, path: Path, survey: Survey, options: dict[str, Any]) -> int:
        rows = {row.symbol: row for row in Instrument.objects.filter(symbol__in=survey.listings)}
        shards = {row.shard for row in rows.values()}
        if not rows:
            raise CommandError(f"No instrument here is in {path}: it has {', '.join(sorted(survey.listings))}.")
        if len(shards) > 1:
            raise CommandError(f"The products of {path} are on {len(shards)} shards here: replay them one by one.")
        shard = shards.pop()
        lease = Lease.objects.filter(name=f"listener:{shard}", renewed_at__gt=datetime.now(UTC) - _LED_LATELY).first()
        if lease is not None:
            raise CommandError(
                f"A listener leads here ({lease.holder}): stop it and wait {_LED_LATELY.seconds} seconds, "
                "or leave out --here."
            )
        return self._replay(path, survey, {symbol: row.pk for symbol, row in rows.items()}, shard, options)

    def _replay(
        self, path: Path, survey: Survey, instruments: dict[str, int], shard: int, options: dict[str, Any]
    ) -> int:
        made = chain.Chain(instruments, shard)
        started_at, began = datetime.now(UTC), time.monotonic()
        self._follow("ticks", survey.messages, made.push(recording.messages(path), speed=options["speed"]))
        found = outcome.figures(
            outcome.Run(
                file=path,
                seed=options["seed"],
                survey=survey,
                counters=made.counters,
                started_at=started_at,
                seconds=time.monotonic() - began,
            )
        )
        if options["closes"]:
            _write(Path(options["closes"]), outcome.closes(started_at))
        self.stdout.write(json.dumps(found) if options["json"] else outcome.as_text(found))
        return 0 if found["ok"] else 1

    def _follow(self, what: str, total: int, steps: Iterable[int]) -> None:
        """Show how far something is, on standard error when a person looks at it."""
        console = Console(stderr=True)
        columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task(what, total=total)
            for step in steps:
                progress.update(task, completed=step)


def _end_with_parent() -> None:
    """End at once with the process that made the database: nobody else would drop it while we use it."""
    while os.read(0, 1):  # not sys.stdin: its lock would be held at the end
        continue
    os._exit(1)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise CommandError(f"--closes {path} cannot be written: {error.strerror}.") from error


def _speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e6:
        raise ArgumentTypeError(f"{text!r} is not a number from 0 to 1000000 (0 is as fast as it can)")
    return value


def _count(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1
    if not 0 <= value <= _MOST_POSITIONS:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 0 to {_MOST_POSITIONS}")
    return value


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)
