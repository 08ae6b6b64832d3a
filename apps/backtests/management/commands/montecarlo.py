"""Draw the trades or returns of a backtest again and again, and say how much of its result is luck."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.backtests import outcomes, sources
from apps.backtests.management import options as shared
from apps.backtests.outcomes import StrategyFailed
from apps.domain.backtests import resampling
from apps.domain.backtests.conventions import Conventions, Sizing
from apps.domain.backtests.resampling import Floats, Method, Outcome, Plan
from apps.domain.errors import Problem, Refused, Unavailable

WRONG_INPUT, FAILED = 2, 1  # exit status
_CONSTANT: Final = (Sizing.FIXED, Sizing.NOTIONAL)  # sizes that do not grow with the account: profits add up


class _Subject(NamedTuple):
    """What is drawn from."""

    name: str
    conventions: Conventions
    pnls: Floats
    equity: Floats
    still_open: int  # positions after the last bar: in the equity, in no trade


class Command(BaseCommand):
    """`manage.py montecarlo sma_cross --candles goog.csv --method blocks --samples 1000 --seed 1 --json`."""

    help = (
        "Say how much of a backtest is luck: its trades in another order, or drawn anew. Takes what `backtest` takes."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the backtest, kept or made now, and how to draw."""
        parser.allow_abbrev = False
        parser.add_argument("strategy", nargs="?", metavar="STRATEGY", help="the name of a strategy plug-in")
        parser.add_argument("--run", type=int, metavar="ID", help="a kept run, in place of a strategy and candles")
        parser.add_argument(
            "--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the strategy; repeatable"
        )
        parser.add_argument(
            "--method",
            type=Method,
            choices=list(Method),
            default=Method.SHUFFLE,
            help="shuffle: the trades in another order; bootstrap: trades drawn anew; blocks: stretches of returns",
        )
        parser.add_argument("--samples", type=int, default=1000, help="how many to draw (default 1000)")
        parser.add_argument("--block", type=int, help="bars in a block; default: the cube root of their number")
        parser.add_argument(
            "--ruin", type=float, default=0.5, help="share of the money lost that is ruin (default 0.5)"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
        shared.add_candles(parser)
        shared.add_conventions(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Draw and tell."""
        try:
            plan = _plan(options)
            subject = _kept(options) if options["run"] is not None else _made(options)
            found = _drawn(subject, plan, self._follow)
        except Refused as refused:
            raise CommandError("\n".join(map(str, refused.problems)), returncode=WRONG_INPUT) from refused
        except (StrategyFailed, Unavailable) as error:
            raise CommandError(str(error), returncode=FAILED) from error
        told = {"of": subject.name, "cash": subject.conventions.cash, "open": subject.still_open, **found.as_json()}
        self.stdout.write(json.dumps(told, allow_nan=False) if options["json"] else _text(subject, found))

    def _follow(self, share: float) -> None:
        """Say how far it is on a terminal."""
        if self.stderr.isatty():
            self.stderr.write(f"\r{share:4.0%}" + ("\r     \r" if share >= 1 else ""), ending="")
            self.stderr.flush()


def _plan(options: dict[str, Any]) -> Plan:
    problems: list[Problem] = []
    seed = shared.read_conventions(options, problems).seed
    if problems:
        raise Refused(*problems)
    return Plan(
        method=options["method"], samples=options["samples"], seed=seed, ruin=options["ruin"], block=options["block"]
    )


def _made(options: dict[str, Any]) -> _Subject:
    """Run the backtest now."""
    if not options["strategy"]:
        raise Refused(_problem("strategy", "", "is missing", "name one with its candles, or --run ID"))
    problems: list[Problem] = []
    request = shared.read(options, datetime.now(UTC), problems)
    if problems:
        raise Refused(*problems)
    strategy = outcomes.strategy_of(request.plugin, request.parameters)
    loaded = sources.load(request.data)
    outcomes.insist_on_bars(strategy, loaded)
    answer = outcomes.signals(strategy, loaded.candles)
    result = outcomes.simulate(answer, request.conventions, loaded, strategy.warmup)
    name = f"{request.plugin} on {request.data}"
    return _Subject(name, request.conventions, result.trades.pnl, result.equity, len(result.open))


def _kept(options: dict[str, Any]) -> _Subject:
    from apps.backtests import selectors  # here: a backtest on files needs no database

    if options["strategy"] or options["candles"] or options["instrument"]:
        rule = "is a run that is kept, with a strategy and candles of its own"
        raise Refused(_problem("run", str(options["run"]), rule, "leave out the strategy and the candles"))
    run = selectors.runs().filter(pk=options["run"]).first()
    if run is None or run.state != run.State.DONE:
        rule = "is not there" if run is None else f"has no result: it {run.get_state_display()}"
        raise Refused(_problem("run", str(options["run"]), rule, "choose a finished run"))
    conventions = Conventions.restored(run.conventions)
    _, equity = selectors.equity(run)
    return _Subject(str(run), conventions, selectors.trades(run).pnl, equity, len(run.open))


def _drawn(subject: _Subject, plan: Plan, follow: Callable[[float], None]) -> Outcome:
    cash = subject.conventions.cash
    if plan.method == Method.BLOCKS:
        return resampling.simulate(resampling.bar_steps(subject.equity, cash), cash, plan, progress=follow)
    additive = subject.conventions.sizing in _CONSTANT
    steps = resampling.trade_steps(subject.pnls, cash, additive=additive)
    return resampling.simulate(steps, cash, replace(plan, additive=additive), progress=follow)


_UNIT: Final = {Method.SHUFFLE: "trades", Method.BOOTSTRAP: "trades", Method.BLOCKS: "bars"}


def _text(subject: _Subject, found: Outcome) -> str:
    plan, luck = found.plan, found.significance
    unit = _UNIT[plan.method]
    lines = [
        f"{subject.name}: {plan.samples} samples of {found.steps} {unit} ({plan.method}, seed {plan.seed})",
        f"{'':22}{'observed':>14}" + "".join(f"{f'{key} %':>14}" for key in found.final_equities),
        _row("final equity", found.final_equity, found.final_equities),
        _row("deepest drawdown %", found.max_drawdown_pct, found.max_drawdowns_pct),
        f"chance of a loss {found.probability_of_loss:.1%}",
        f"chance of losing {plan.ruin:.0%} at any time {found.probability_of_ruin:.1%}",
        f"chance of a drawdown at least as deep {found.probability_of_deeper_drawdown:.1%}",
        f"chance that {unit} without any edge do as well on average: {luck.p_value:.2%}",
    ]
    lines.append(f"each of these shares is known to within {2 * found.standard_error:.1%}")
    if luck.low is not None and luck.high is not None:
        lines.append(f"mean of a step {luck.mean:.4%}; 95 % of the samples lie from {luck.low:.4%} to {luck.high:.4%}")
    if subject.still_open and plan.method != Method.BLOCKS:
        lines.append(f"{subject.still_open} positions were still open and are in none of the trades")
    return "\n".join(lines)


def _row(name: str, observed: float, percentiles: dict[int, float]) -> str:
    return f"{name:22}{observed:14,.2f}" + "".join(f"{value:14,.2f}" for value in percentiles.values())


def _problem(field: str, value: str, rule: str, remedy: str) -> Problem:
    return Problem(field=field, value=value, rule=rule, remedy=remedy)
