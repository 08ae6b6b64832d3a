"""Search the parameters of a strategy on one stretch of history, test them on the next, and again, to the end."""

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser
from rich.console import Console
from rich.table import Table

from apps.backtests.management.searching import SearchCommand
from apps.backtests.services.studies import Walk
from apps.domain.backtests.walking import Mode
from apps.domain.errors import Problem, Refused


class Command(SearchCommand):
    """`manage.py walkforward sma_cross --candles goog.csv --param fast=5:50:5 --train 2y --test 6mo --mode rolling`."""

    help = "Search parameters on one window of history, test them on the next, and stitch the tests together."

    def add_own(self, parser: CommandParser) -> None:
        """Declare the windows."""
        group = parser.add_argument_group("windows")
        group.add_argument("--train", metavar="LENGTH", help="of a training window: bars like 500, or 90d, 6mo, 2y")
        group.add_argument("--test", metavar="LENGTH", help="of a test window, written the same way")
        group.add_argument(
            "--mode", default="rolling", metavar="WORD", help="rolling (default), or anchored at the first bar"
        )

    def walk(self, options: Mapping[str, Any]) -> Walk | None:
        """Return the windows. Raises Refused with every problem found."""
        problems = [
            Problem(field=name, value="none", rule="must be given", remedy=f"write --{name} {example}")
            for name, example in (("train", "2y"), ("test", "6mo"))
            if not options[name]
        ]
        if options["mode"] not in list(Mode):
            remedy = f"use {' or '.join(Mode)}"
            problems.append(Problem(field="mode", value=options["mode"][:60], rule="is no mode", remedy=remedy))
        if problems:
            raise Refused(*problems)
        return Walk(train=options["train"], test=options["test"], mode=Mode(options["mode"]))

    def show(self, told: Mapping[str, Any]) -> None:
        """Show each window, and how far the tests keep what the trainings promise."""
        console = Console(file=self.stdout)  # type: ignore[arg-type] # Django's wrapper writes like a stream
        console.print(
            f"search {told['study']}: {len(told['windows'])} windows of {told['strategy']} on {told['source']}, "
            f"{told['trials']} trials in {told['seconds']:g} s, kept as run {told['run']}"
        )
        console.print(_table(told))
        result, efficiency = told["result"], told["efficiency"]
        console.print(
            f"all tests as one account: {result['final_equity']:,.2f}, {result['closed_trades']} closed trades, "
            f"deepest drawdown {result['max_drawdown_pct']:.2f}%, "
            f"{told['windows_with_gain']} of {len(told['windows'])} windows with a gain"
        )
        kept = "training did not grow" if efficiency is None else f"{efficiency:.0%} of the yearly growth in training"
        console.print(f"walk-forward efficiency: {kept}")
        for name, about in told["stability"].items():
            console.print(f"  {name}: {about['usual']} in {about['usual_share']:.0%}, changed {about['changes']} times")


def _table(told: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("test", "until", "parameters", told["objective"], "gain", "drawdown", "trades"):
        table.add_column(name, justify="right")
    for each in told["windows"]:
        train, test = each["train"], each["test"]
        chosen = (
            ", ".join(f"{name}={value}" for name, value in (each["parameters"] or {}).items()) or "none good enough"
        )
        value = "-" if train["value"] is None else f"{train['value']:,.4g}"
        gain, fall = f"{test['gain_pct']:.2f}%", f"{test['max_drawdown_pct']:.2f}%"
        table.add_row(test["since"][:10], test["until"][:10], chosen, value, gain, fall, str(test["trades"]))
    return table
