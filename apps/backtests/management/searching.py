"""What the commands that search have in common: begin or resume a study, follow it to its end, tell the result."""

import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from apps.backtests import bell, sources
from apps.backtests.management import options as shared
from apps.backtests.management.following import Following
from apps.backtests.models import Study
from apps.backtests.services import studies, sweeps, walking
from apps.backtests.services.studies import Order, Walk
from apps.domain.backtests import search
from apps.domain.backtests.search import Search
from apps.domain.errors import Problem, Refused, Unavailable

FAILED, WRONG_INPUT, INTERRUPTED = 1, 2, 130  # exit status; the last is what shells expect after Ctrl-C
TURN: Final = 0.3  # seconds of computing between two looks at the bar
LOOK_EVERY: Final = 0.1
CALL_EVERY: Final = 1.0


class SearchCommand(ABC, BaseCommand):
    """`COMMAND STRATEGY --candles FILE --param fast=5:50:5 ...`; with --resume ID it goes on with an earlier search."""

    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what to search and where."""
        parser.allow_abbrev = False
        parser.add_argument("strategy", metavar="STRATEGY", nargs="?", help="the name of a strategy plug-in")
        parser.add_argument(
            "--param",
            action="append",
            default=[],
            metavar="NAME=VALUES",
            help="fast=5:50:5, fast=5,8,13, fast=10, or fast=* for all its bounds; repeatable",
        )
        self.add_own(parser)
        group = parser.add_argument_group("search")
        group.add_argument("--search", default="grid", metavar="WORD", help="grid (default), random or bayesian")
        group.add_argument("--trials", type=int, metavar="N", help="at most; default: all of a grid, else 100")
        group.add_argument(
            "--objective", default="sharpe", metavar="FIGURE", help=f"default sharpe; {', '.join(search.GOALS)}"
        )
        group.add_argument(
            "--min-trades", type=int, default=1, metavar="N", help="trials with fewer closed trades do not count"
        )
        group.add_argument("--again", action="store_true", help="compute what earlier searches have computed, too")
        group.add_argument("--inline", action="store_true", help="compute in this process instead of in workers")
        group.add_argument(
            "--workers", type=int, default=sweeps.WORKERS, metavar="N", help="call so many workers at most"
        )
        group.add_argument("--resume", type=int, metavar="ID", help="go on with a search that was stopped")
        group.add_argument("--cancel", type=int, metavar="ID", help="stop a search; --resume goes on with it")
        group.add_argument("--all", action="store_true", help="every trial in the JSON, not only the best")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
        shared.add_candles(parser)
        shared.add_conventions(parser)

    @abstractmethod
    def add_own(self, parser: CommandParser) -> None:
        """Declare what only this command takes."""

    @abstractmethod
    def walk(self, options: Mapping[str, Any]) -> Walk | None:
        """Return how bars are cut into windows; None for all bars at once."""

    @abstractmethod
    def show(self, told: Mapping[str, Any]) -> None:
        """Show the result to a person."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Search, and tell what came of it."""
        began = time.monotonic()
        try:
            if options["cancel"] is not None:
                self._cancel(options["cancel"], as_json=options["json"])
                return
            study = self._study(options)
            self._follow(study, options)
        except Refused as refused:
            raise CommandError("\n".join(map(str, refused.problems)), returncode=WRONG_INPUT) from refused
        except Unavailable as error:
            raise CommandError(str(error), returncode=FAILED) from error
        self._report(study.pk, options, time.monotonic() - began)

    def _study(self, options: dict[str, Any]) -> Study:
        if options["resume"] is not None:
            return studies.resume(options["resume"])
        now = datetime.now(UTC)
        order = self._order(options, now)
        return studies.begin(order, sources.load(order.data), now)

    def _order(self, options: dict[str, Any], now: datetime) -> Order:
        problems: list[Problem] = []
        if not options["strategy"]:
            problems.append(
                Problem(field="strategy", value="none", rule="must be named", remedy="write sma_cross, or --resume ID")
            )
        if options["search"] not in list(Search):
            remedy = f"use {', '.join(Search)}"
            problems.append(Problem(field="search", value=options["search"][:60], rule="is no search", remedy=remedy))
        conventions = shared.read_conventions(options, problems)
        data = shared.read_candles(options, now, problems)
        if problems:
            raise Refused(*problems)
        return Order(
            plugin=options["strategy"],
            space=options["param"],
            data=data,
            conventions=conventions,
            search=Search(options["search"]),
            objective=options["objective"],
            trials=options["trials"],
            least_trades=options["min_trades"],
            seed=conventions.seed,
            again=options["again"],
            walk=self.walk(options),
        )

    def _follow(self, study: Study, options: dict[str, Any]) -> None:
        with Following(study, stream=sys.stderr) as following, self._interruptible(study, inline=options["inline"]):
            called_at = -CALL_EVERY
            while (found := sweeps.progress(study.pk)).state == Study.State.RUNNING:
                following.show(found)
                if options["inline"]:
                    turn = sweeps.turn(study.pk, _name(), seconds=TURN, now=datetime.now(UTC))
                    if not turn.settled:
                        time.sleep(LOOK_EVERY)  # trials of a process that has gone: they are free in a few seconds
                    continue
                if time.monotonic() - called_at >= CALL_EVERY:
                    called_at = time.monotonic()
                    _call(study.pk, options["workers"])
                time.sleep(LOOK_EVERY)
            following.show(found)

    @contextmanager
    def _interruptible(self, study: Study, *, inline: bool) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            name = self.__module__.rpartition(".")[2]
            goes_on = "What is computed is kept" if inline else "Workers go on computing"
            self.stderr.write(
                f"\n{goes_on}; `manage.py {name} --resume {study.pk}` follows it again, --cancel {study.pk} stops it."
            )
            raise SystemExit(INTERRUPTED) from None

    def _report(self, study_id: int, options: dict[str, Any], seconds: float) -> None:
        study = Study.objects.get(pk=study_id)
        told = {**sweeps.report(study), "seconds": round(seconds, 3)}
        if options["all"]:
            told["all"] = sweeps.every_trial(study)
        if options["json"]:
            more = walking.stitched(study.run) if study.run else {}
            self.stdout.write(json.dumps({**told, **more}, allow_nan=False))
        elif study.state == Study.State.DONE:
            self.show(told)
        if study.state != Study.State.DONE:
            raise CommandError(f"search {study_id} is {study.state}: {study.error}".rstrip(": "), returncode=FAILED)

    def _cancel(self, study_id: int, *, as_json: bool) -> None:
        done = studies.cancel(study_id, datetime.now(UTC))
        said = f"search {study_id} is stopped" if done else f"search {study_id} was not running"
        self.stdout.write(json.dumps({"study": study_id, "cancelled": done}) if as_json else said)


def _name() -> str:
    """Name this process in the rows it claims, as workers do."""
    return f"worker {settings.HOST_NAME}:{os.getpid()}"[:120]


def _call(study_id: int, most: int) -> None:
    with transaction.atomic():
        for _ in range(sweeps.workers_wanted(study_id, most)):
            bell.call_after_commit(studies.TASK, study_id)
