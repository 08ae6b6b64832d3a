"""Search the parameters of a strategy, over all workers, and never compute the same trial twice."""

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser
from rich.console import Console
from rich.table import Table

from apps.backtests.management.searching import SearchCommand
from apps.backtests.services.studies import Walk

FIGURES = ("final_equity", "sharpe", "max_drawdown_pct", "closed_trades", "win_rate_pct")


class Command(SearchCommand):
    """`manage.py sweep sma_cross --candles goog.csv --param fast=5:50:5 --param slow=20:200:20 --objective sharpe`."""

    help = "Search the parameters of a strategy in workers. Killed at any point, --resume ID goes on from there."

    def add_own(self, parser: CommandParser) -> None:
        """Nothing beside what all searches take."""

    def walk(self, options: Mapping[str, Any]) -> Walk | None:
        """Search over all bars at once."""
        return None

    def show(self, told: Mapping[str, Any]) -> None:
        """Show the best trials, and what the search left out."""
        console = Console(file=self.stdout)  # type: ignore[arg-type] # Django's wrapper writes like a stream
        console.print(
            f"search {told['study']}: {told['done']} of {told['trials']} trials of {told['strategy']} on "
            f"{told['source']}, {told['bars']} bars, in {told['seconds']:g} s"
        )
        for count, what in _notes(told):
            if count:
                console.print(f"  {count} {what}", style="dim")
        if not told["best"]:
            console.print("no trial has the figure that was asked for; see --min-trades")
            return
        console.print(_table(told))
        for remark in told["critique"]:
            console.print(f"{remark['severity']:>5}  {remark['sentence']} {remark['remedy']}", highlight=False)
        values = " ".join(f"--param {name}={value}" for name, value in told["best"]["parameters"].items())
        console.print(f"the best by itself: manage.py backtest {told['strategy']} {values} ...", highlight=False)


def _notes(told: Mapping[str, Any]) -> list[tuple[int, str]]:
    return [
        (told["reused"], "were known from earlier searches"),
        (told["refused"], "combinations are not allowed by the strategy"),
        (told["left_out"], "combinations were left out by --trials"),
        (told["failed"], "trials failed; --json says why"),
    ]


def _table(told: Mapping[str, Any]) -> Table:
    names = list(told["top"][0]["parameters"])
    figures = [told["objective"], *(name for name in FIGURES if name != told["objective"])]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("trial", *names, *figures):
        table.add_column(name.replace("_", " "), justify="right")
    for row in told["top"]:
        values = [str(row["parameters"][name]) for name in names]
        table.add_row(str(row["number"]), *values, *(_cell(row["measures"].get(name)) for name in figures))
    return table


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.2f}"
