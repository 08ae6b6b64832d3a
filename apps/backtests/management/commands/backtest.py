"""Run one strategy over candles and say what came of it, and how far that can be believed."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.backtests import outcomes, sources
from apps.backtests.management import options as shared
from apps.backtests.outcomes import Outcome, StrategyFailed
from apps.backtests.requests import Request
from apps.domain.errors import Problem, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apps.backtests.outcomes import Progress

WRONG_INPUT, FAILED = 2, 1  # exit status


class Command(BaseCommand):
    """`manage.py backtest sma_cross --candles goog.csv --param fast=10 --param slow=20 --fee 0.1% --json`."""

    help = "Run a strategy over candles of files or of the market store. Every convention is an option."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what to run, on what, and what to do with the result."""
        shared.add_all(parser)
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
        parser.add_argument("--short", action="store_true", help="leave trades and equity out of the JSON")
        parser.add_argument("--html", metavar="FILE", help="write the report, one file that needs no other")
        parser.add_argument("--save", action="store_true", help="keep the run, to be seen in the admin")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run it; everything wrong with the input is told at once."""
        now = datetime.now(UTC)
        try:
            request, outcome = self._run(options, now)
            told = self._kept(request, outcome, options, now)
        except Refused as refused:
            raise CommandError("\n".join(map(str, refused.problems)), returncode=WRONG_INPUT) from refused
        except (StrategyFailed, Unavailable) as error:
            raise CommandError(str(error), returncode=FAILED) from error
        if options["json"]:
            self.stdout.write(json.dumps(told, allow_nan=False))
        else:
            self._show(outcome, told)

    def _run(self, options: dict[str, Any], now: datetime) -> tuple[Request, Outcome]:
        problems: list[Problem] = []
        request = shared.read(options, now, problems)
        with _joining(problems):
            strategy = outcomes.strategy_of(request.plugin, request.parameters)
        with _joining(problems):
            loaded = sources.load(request.data)
        if problems:
            raise Refused(*problems)
        outcomes.insist_on_bars(strategy, loaded)
        with self._following() as progress:
            return request, outcomes.compute(
                request.plugin, request.parameters, request.conventions, loaded, progress=progress
            )

    def _kept(self, request: Request, outcome: Outcome, options: dict[str, Any], now: datetime) -> dict[str, Any]:
        """Write and store what was asked for, and return what is told."""
        told = outcome.as_json()
        if options["short"]:
            told = {key: value for key, value in told.items() if key not in ("trades", "equity")}
        if options["html"]:
            told["html"] = str(_written(outcome, Path(options["html"]), now))
        if options["save"]:
            from apps.backtests.services import runs  # here: a run that is not kept needs no database

            told["run"] = runs.record(request, outcome, now=now).pk
        return told

    def _show(self, outcome: Outcome, told: dict[str, Any]) -> None:
        from rich.console import Console  # here: rich takes a tenth of a second that --json need not wait for

        from apps.backtests.management import showing

        showing.show(outcome, Console(file=cast(IO[str], self.stdout)))
        for key, sentence in (("html", "report: {}"), ("run", "kept as run {}")):
            if key in told:
                self.stdout.write(sentence.format(told[key]))

    @contextmanager
    def _following(self) -> "Iterator[Progress]":
        """Say on a terminal what is being done; a pipe is told nothing."""
        if not self.stderr.isatty():
            yield lambda share, stage: None
            return

        def follow(share: float, stage: str) -> None:
            self.stderr.write(f"\r{share:4.0%} {stage:12}", ending="")
            self.stderr.flush()

        try:
            yield follow
        finally:
            self.stderr.write("\r" + " " * 20 + "\r", ending="")


@contextmanager
def _joining(problems: list[Problem]) -> "Iterator[None]":
    """Let what is refused join the other problems, so that a person mends all of them at once."""
    try:
        yield
    except Refused as refused:
        problems += refused.problems


def _written(outcome: Outcome, path: Path, now: datetime) -> Path:
    from apps.backtests import report  # here: nobody else needs the charts

    try:
        path.write_text(report.html(outcome, made_at=now), encoding="utf-8")
    except OSError as error:
        rule = f"cannot be written: {error.strerror}"
        raise Refused(Problem(field="html", value=str(path), rule=rule, remedy="name another file")) from error
    return path
