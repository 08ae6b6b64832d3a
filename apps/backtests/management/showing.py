"""How is a backtest shown to a person? The figures, how far they can be believed, and what they rest on."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from apps.backtests.outcomes import Outcome
from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.limits import Limits

COLOURS: Final = {"red": "bold red", "amber": "yellow", "note": "dim"}
# What a table of a terminal has room for; the rest is in --json and --html.
FIGURES: Final = (
    ("return_pct", "return", "%"),
    ("cagr_pct", "a year", "%"),
    ("buy_and_hold_return_pct", "buy and hold", "%"),
    ("max_drawdown_pct", "deepest drawdown", "%"),
    ("longest_drawdown_days", "longest drawdown", " days"),
    ("sharpe", "Sharpe", ""),
    ("sortino", "Sortino", ""),
    ("calmar", "Calmar", ""),
    ("exposure_pct", "time in the market", "%"),
    ("profit_factor", "profit factor", ""),
)


def show(outcome: Outcome, console: Console) -> None:
    """Write everything a person wants to see first."""
    for part in _parts(outcome):
        console.print(part)


def _parts(outcome: Outcome) -> Iterator[RenderableType]:
    told, loaded = outcome.result, outcome.loaded
    given = ", ".join(f"{name}={value}" for name, value in outcome.parameters.items())
    yield Text(f"{outcome.plugin}({given}) on {', '.join(loaded.names)}", style="bold")
    yield Text(
        f"{loaded.bars} bars of {loaded.bar_seconds} s, {loaded.since:%Y-%m-%d %H:%M} to {loaded.until:%Y-%m-%d %H:%M}"
    )
    yield from (Text(f"note: {note}", style="yellow") for note in loaded.notes)
    yield Group(Text(""), _figures(outcome))
    yield Text(_bounds(outcome))
    if told.rejected:
        skipped = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in told.rejected.items())
        yield Text(f"entries that were wanted and not made: {skipped}", style="yellow")
    for holding in told.open:
        side = "long" if holding.side > 0 else "short"
        yield Text(f"still open: {side} {holding.size:g} {loaded.names[holding.instrument]} at {holding.entry_price:g}")
    yield Text("")
    yield from (_remark(remark.as_json()) for remark in outcome.critique)
    yield Text(f"\nassumed: {_assumed(told.conventions)}", style="dim")


def _figures(outcome: Outcome) -> Table:
    result, table = outcome.result, Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_row("final equity", f"{result.final_equity:,.2f}", style="bold")
    table.add_row("closed trades", f"{result.closed_trades}")
    table.add_row("win rate", f"{result.win_rate_pct:.2f}%")
    for key, name, unit in FIGURES:
        value = outcome.statistics.get(key)
        if isinstance(value, int | float):
            table.add_row(name, f"{value:,.2f}{unit}")
    return table


def _bounds(outcome: Outcome) -> str:
    bounds = outcome.bounds
    if not outcome.result.ambiguous_bars:
        return "no bar held more than one level: nothing depends on the order inside bars"
    stop, target = bounds.stop_first.final_equity, bounds.target_first.final_equity
    return (
        f"{outcome.result.ambiguous_bars} bars held more than one level: {stop:,.2f} with the stop first, "
        f"{target:,.2f} with the target first; {bounds.differing_trades} trades differ"
    )


def _remark(remark: dict[str, Any]) -> Text:
    text = Text(f"{remark['severity']:>5}  ", style=COLOURS.get(remark["severity"], ""))
    text.append(f"{remark['sentence']} {remark['remedy']}", style="default")
    return text


def _assumed(conventions: Conventions) -> str:
    """Name every convention that differs from its default, and those everybody asks about."""
    always = ("cash", "fee_rate", "fill", "slippage", "slippage_value", "end")
    chosen = [
        (item.name, getattr(conventions, item.name))
        for item in fields(Conventions)
        if item.name != "limits" and (item.name in always or getattr(conventions, item.name) != item.default)
    ]
    chosen += [
        (item.name, getattr(conventions.limits, item.name))
        for item in fields(Limits)
        if getattr(conventions.limits, item.name) != item.default
    ]
    return ", ".join(f"{name}={value}" for name, value in chosen)
