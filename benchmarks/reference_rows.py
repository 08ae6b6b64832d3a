"""Do all the figures that independent engines agree on for GOOG come out, each convention set by an option?"""

import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Goal, Table
from benchmarks.peers import environments

COLUMNS = ("strategy", "differs by", "trades", "final equity", "max DD %", "win %", "bars with both", "result")
PEER = "backtesting"  # the package that ships the candles
FILE = Path(PEER, "test", "GOOG.csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Whether the package may be installed for its candles."""

    install: bool


QUICK = Size(install=False)
FULL = Size(install=True)


def run(size: Size, folder: Path) -> Table:
    """Run every row through the documented Python call and lay it beside the reference."""
    from tests.domain import reference_rows as reference

    table = Table(title="Reference rows: GOOG daily, cash 100,000, fee 0.2 %, SMA 10/20", columns=COLUMNS)
    file, absent = _candles(install=size.install)
    tables = (("cross", reference.CROSS, reference.CROSSES), ("bracket", reference.BRACKET, reference.BRACKETS))
    if absent:
        count = sum(len(rows) for _, _, rows in tables)
        table.rows.append(("-", "-", "-", "-", "-", "-", "-", f"{count} rows not checked: {absent}"))
        return table
    differing = 0
    for name, canonical, rows in tables:
        for row in rows:
            given = _figures(file, {**canonical, **row.differs})
            differing += given != tuple(row[1:])
            table.rows.append((name, _spelled(row.differs), *_shown(*given), _result(given, tuple(row[1:]))))
    text = "rows that are not the same as the reference"
    table.goals.append(Goal(text=text, value=differing, limit=0, at_most=True))
    table.notes.append("through `apps.backtests.api.run`; matched: trades, equity to the cent, rates as printed")
    return table


def _figures(file: Path, conventions: dict[str, Any]) -> tuple[Any, ...]:
    from apps.backtests import api

    result = api.run("sma_cross", candles=file, parameters={"fast": 10, "slow": 20}, **conventions).result
    rates = round(result.max_drawdown_pct, 3), round(result.win_rate_pct, 2)
    return (result.closed_trades, round(result.final_equity, 2), *rates, result.ambiguous_bars)


def _candles(*, install: bool) -> tuple[Path, str]:
    """Return the file, from this environment or from the peer's own, or why there is none."""
    places = [Path(sysconfig.get_path("purelib")), *(environments.PLACE / PEER).glob("lib/python*/site-packages")]
    for place in places:
        if (place / FILE).is_file():
            return place / FILE, ""
    if not install:
        return FILE, f"{PEER} is not installed; a full run installs it"
    made = environments.ready(PEER)
    return (FILE, made.absent) if made.absent else _candles(install=False)


def _spelled(differs: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in differs.items()) or "(canonical)"


def _shown(trades: int, equity: float, fall: float, wins: float, both: int) -> tuple[str, ...]:
    return (f"{trades}", f"{equity:,.2f}", f"{fall:.3f}", f"{wins:.2f}", f"{both}")


def _result(given: tuple[Any, ...], wanted: tuple[Any, ...]) -> str:
    return "matched" if given == wanted else f"UNMATCHED, should be {wanted}"
