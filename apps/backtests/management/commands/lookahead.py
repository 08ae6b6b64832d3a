"""Try whether a strategy sees the future, or more of the past than it declares."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.backtests import outcomes, sources
from apps.backtests.management import options as shared
from apps.backtests.sources import Loaded, Spec
from apps.domain.backtests import leaks
from apps.domain.backtests.verdicts import Verdict
from apps.domain.errors import Problem, Refused, Unavailable
from apps.domain.strategies.contract import Candles, Strategy

LEAKS, WRONG_INPUT = 1, 2  # exit status


class Command(BaseCommand):
    """`manage.py lookahead sma_cross --candles goog.csv --json`; exit status 1 when it leaks."""

    help = "Try whether a strategy sees the future, on truncated and distorted candles; exit status 1 when it does."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the strategy, the candles and how many of them."""
        parser.allow_abbrev = False
        parser.add_argument("strategy", metavar="STRATEGY", help="the name of a strategy plug-in, like sma_cross")
        parser.add_argument(
            "--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the strategy; repeatable"
        )
        parser.add_argument("--bars", type=int, default=leaks.MOST, help="look at the last so many (default 2000)")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
        shared.add_candles(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Look, tell, and end with 1 when something leaks."""
        try:
            loaded, verdict = _look(options, datetime.now(UTC))
        except Refused as refused:
            raise CommandError("\n".join(map(str, refused.problems)), returncode=WRONG_INPUT) from refused
        except (outcomes.StrategyFailed, Unavailable) as error:
            raise CommandError(str(error), returncode=WRONG_INPUT) from error
        if options["json"]:
            self.stdout.write(json.dumps(_json(options["strategy"], loaded, verdict), allow_nan=False))
        else:
            self._show(options["strategy"], verdict)
        if not verdict.clean:
            raise SystemExit(LEAKS)

    def _show(self, name: str, verdict: Verdict) -> None:
        for leak in verdict.leaks:
            self.stdout.write(f"{leak.kind}: {leak.sentence}")
        outputs = ", ".join(verdict.outputs)
        tried = f"{verdict.runs} runs on {verdict.bars} bars (warm-up {verdict.warmup}; {outputs})"
        self.stdout.write(f"{name} looks back only: {tried}" if verdict.clean else f"{name} LEAKS: {tried}")


def _look(options: dict[str, Any], now: datetime) -> tuple[Loaded, Verdict]:
    problems: list[Problem] = []
    parameters = shared.read_parameters(options["param"], problems)
    spec = shared.read_candles(options, now, problems)
    if options["bars"] < 2:
        problems.append(_problem("bars", options["bars"], "must be at least 2", "use 2000"))
    if spec.detail or spec.detail_seconds:
        problems.append(_problem("detail", spec.detail, "no strategy sees finer candles", "leave it out"))
    if problems:
        raise Refused(*problems)
    strategy = outcomes.strategy_of(options["strategy"], parameters)
    loaded = sources.load(_lately(spec, strategy, options["bars"]))
    outcomes.signals(strategy, loaded.candles)  # one that breaks has nothing to be tried
    first = max(loaded.bars - max(options["bars"], strategy.warmup + 1), 0)
    markets = [Candles._make(column[first:] for column in candles) for candles in loaded.candles]
    verdict = leaks.find(strategy, markets, names=loaded.names)
    return loaded, replace(verdict, leaks=tuple(replace(leak, bar=leak.bar + first) for leak in verdict.leaks))


def _lately(spec: Spec, strategy: Strategy, bars: int) -> Spec:
    """Leave unread what would not be looked at: the store may hold years."""
    if not spec.instruments or spec.since or spec.until is None or spec.bar_seconds is None:
        return spec
    # Twice as long: bars in which nothing was traded are absent.
    span = timedelta(seconds=2 * spec.bar_seconds * max(bars, strategy.warmup + 1))
    return replace(spec, since=spec.until - span)


def _json(name: str, loaded: Loaded, verdict: Verdict) -> dict[str, Any]:
    return {
        "strategy": name,
        "clean": verdict.clean,
        "leaks": [leak.as_json() for leak in verdict.leaks],
        "bars": verdict.bars,
        "warmup": verdict.warmup,
        "outputs": list(verdict.outputs),
        "runs": verdict.runs,
        "data": loaded.as_json(),
    }


def _problem(field: str, value: object, rule: str, remedy: str) -> Problem:
    return Problem(field=field, value=str(value), rule=rule, remedy=remedy)
