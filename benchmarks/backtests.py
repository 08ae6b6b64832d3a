"""Backtests: one run and a sweep, side by side with four peers on the same arrays, and beside a bare numba loop.

Each figure is a process of its own. Where a peer's conventions differ from ours they are set equal in ours, and the
number of trades and the final equity must then be the same.
"""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks import stage
from benchmarks.figures import Cell, Goal, Table, median
from benchmarks.peers import environments, turn

COLUMNS = (
    "strategy",
    "bars",
    "engine",
    "ms",
    "ms of CPU",
    "bars/s",
    "ours is faster by",
    "trades",
    "peak MB",
    "result",
)
STRATEGIES = ("cross", "bracket")
TOO_SLOW = 120.0  # seconds: what would take longer is not run
ENOUGH = 4.0  # a run that takes so many seconds is measured once
SAME = 1e-9  # relative: sums of the same numbers in another order
MEGABYTE = 2**20
SPEEDS = {"vectorbt": 40.0, "backtesting": 300.0}
# What a peer does otherwise, as our conventions.
AT_CLOSE = {"fill": "close", "round_fee": turn.DECIMALS}
LEVELS = {"round_px": turn.DECIMALS, "gap_sl": "level", "gap_tp": "level", "order": "tp"}
DIFFERING: dict[tuple[str, str], dict[str, Any]] = {
    ("vectorbt", "bracket"): {"entry_bar": False},
    ("backtesting", "bracket"): {"base": "signal"},
    ("backtrader", "bracket"): {"entry_bar": False},
    ("nautilus_trader", "cross"): AT_CLOSE,
    ("nautilus_trader", "bracket"): {**AT_CLOSE, **LEVELS},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many bars, how often, against whom, and beyond how many bars a peer is left out."""

    bars: tuple[int, ...]
    rounds: int
    pairs: int
    sweep_bars: int
    peers: tuple[str, ...]
    largest: Mapping[str, int] = field(default_factory=dict)


QUICK = Size(bars=(20_000,), rounds=1, pairs=3, sweep_bars=2_000, peers=())
FULL = Size(
    bars=(100_000, 1_000_000, 10_000_000),
    rounds=3,
    pairs=15,
    sweep_bars=100_000,
    peers=environments.PEERS,
    largest={"backtrader": 100_000, "nautilus_trader": 100_000},
)


@dataclass(slots=True)
class Bench:
    """One benchmark under way."""

    size: Size
    folder: Path
    table: Table
    pythons: dict[str, Path]
    last: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)  # per peer and strategy
    differing: int = 0

    def measure(self, engine: str, bars: int, kind: str, settings: Mapping[str, Any] | None = None) -> dict[str, float]:
        """Run an engine in a process of its own. Raises RuntimeError."""
        python = self.pythons.get(engine, Path(sys.executable))
        return _told(
            python, f"benchmarks.peers.{engine}", str(self._bars(bars)), kind, json.dumps(dict(settings or {}))
        )

    def beside(self, bars: int, kind: str) -> dict[str, Any]:
        """Run the bare loop and ours in turns."""
        folder = str(self._bars(bars))
        return _told(Path(sys.executable), "benchmarks.peers.beside", folder, kind, str(self.size.pairs))

    def agrees(self, one: Mapping[str, float], other: Mapping[str, float]) -> str:
        """Say whether two engines came to the same, and count when not."""
        if one["trades"] == other["trades"] and math.isclose(one["final_equity"], other["final_equity"], rel_tol=SAME):
            return "the same"
        self.differing += 1
        ours = f"{other['trades']:,.0f} trades and {other['final_equity']:,.2f}"
        return f"{one['trades']:,.0f} trades and {one['final_equity']:,.2f}, ours {ours}"

    def _bars(self, count: int) -> Path:
        folder = self.folder / f"bars-{count}"
        if not folder.exists():
            turn.make(folder, count)
        return folder


def run(size: Size, folder: Path) -> Table:
    """Measure every engine at every size, then the sweep."""
    table = Table(title="Backtests of SMA 10/20 on a random walk of one-minute bars, fees included", columns=COLUMNS)
    bench = Bench(size, folder / "backtests", table, {})
    _environments(bench)
    for kind in STRATEGIES:
        for bars in size.bars:
            _bare(bench, bars, kind)
            for peer in bench.pythons:
                _peer(bench, peer, bars, kind)
    _sweep(bench)
    shutil.rmtree(bench.folder)
    table.goals.append(
        Goal(text="results that are not the same as another engine's", value=bench.differing, limit=0, at_most=True)
    )
    table.notes += _notes(bench)
    return table


def _environments(bench: Bench) -> None:
    for peer in bench.size.peers:
        found = environments.ready(peer)
        if found.absent:
            bench.table.notes.append(f"{peer} is left out: {found.absent}")
        else:
            bench.pythons[peer] = found.python


def _bare(bench: Bench, bars: int, kind: str) -> None:
    """Add the rows of ours and of the bound."""
    ours, found = bench.measure("product", bars, kind), bench.beside(bars, kind)
    bench.table.rows += _pair(bench, kind, bars, ours, found)
    if bars != bench.size.bars[-1]:
        return
    text = f"{kind}: bare loop / ours at {bars:,} bars"
    bench.table.goals.append(Goal(text=text, value=found["ratio"], limit=0.5))
    added = (ours["peak_rss_mb"] - ours["base_rss_mb"]) * MEGABYTE / bars
    arrays = 8 * len(turn.Bars._fields)
    bench.table.notes.append(
        f"{kind}: a run needs {added:.0f} bytes per bar, beside {arrays} of the candles themselves"
    )


def _peer(bench: Bench, peer: str, bars: int, kind: str) -> None:
    """Add the row of a peer, measured in turns with ours under its conventions."""
    reason = _too_much(bench, peer, bars, kind)
    if reason:
        bench.table.rows.append((kind, bars, peer, *["-"] * 6, reason))
        return
    found, ratio, answer = _turns(bench, peer, bars, kind)
    bench.last[peer, kind] = found
    bench.table.rows.append(_row(kind, bars, peer, found, ratio, answer))
    if bars == 1_000_000 and peer in SPEEDS:
        goal = Goal(text=f"{kind}: ours is faster than {peer} at {bars:,} bars by", value=ratio, limit=SPEEDS[peer])
        bench.table.goals.append(goal)


def _turns(bench: Bench, peer: str, bars: int, kind: str) -> tuple[dict[str, float], float, str]:
    settings = DIFFERING.get((peer, kind))
    pairs: list[tuple[dict[str, float], dict[str, float]]] = []
    while len(pairs) < bench.size.rounds and not (pairs and pairs[0][1]["seconds"] > ENOUGH):
        pairs.append((bench.measure("product", bars, kind, settings), bench.measure(peer, bars, kind)))
    ours, theirs = pairs[0]
    ratio = median(b["cpu_seconds"] / a["cpu_seconds"] for a, b in pairs)
    middle = theirs | {name: median(each[name] for _, each in pairs) for name in ("seconds", "cpu_seconds")}
    return middle, ratio, bench.agrees(theirs, ours)


def _too_much(bench: Bench, peer: str, bars: int, kind: str) -> str:
    """Say why a peer is not run at a size; nothing when it is."""
    last = bench.last.get((peer, kind))
    if last is None:
        return ""
    times = bars / last["bars"]
    if bars > bench.size.largest.get(peer, bars) or last["seconds"] * times > TOO_SLOW:
        return f"skipped: {last['seconds'] * times:,.0f} s projected"
    needed, free = last["peak_rss_mb"] * times, psutil.virtual_memory().available / MEGABYTE
    return f"skipped: {needed:,.0f} MB projected, {free:,.0f} free" if needed > free else ""


def _sweep(bench: Bench) -> None:
    """Add the rows of 200 pairs of lengths, each with fills, equity, trades and statistics."""
    bars, table = bench.size.sweep_bars, bench.table
    kind, work = f"sweep of {len(turn.PAIRS)}", bars * len(turn.PAIRS)
    ours, found = bench.measure("product", bars, "sweep"), bench.beside(bars, "sweep")
    table.rows += _pair(bench, kind, bars, ours, found, work)
    if "vectorbt" not in bench.pythons:
        return
    theirs, ratio, answer = _turns(bench, "vectorbt", bars, "sweep")
    table.rows.append(_row(kind, bars, "vectorbt", theirs, ratio, answer, work))
    table.goals += [
        Goal(text=f"{kind}: ours is faster than vectorbt by", value=ratio, limit=20),
        Goal(
            text=f"{kind}: memory of the process, ours / vectorbt", value=ours["peak_rss_mb"] / theirs["peak_rss_mb"],
            limit=0.1, at_most=True,
        ),
    ]  # fmt: skip
    added, their_added = (each["peak_rss_mb"] - each["base_rss_mb"] for each in (ours, theirs))
    table.notes.append(
        f"{kind}: on top of libraries and candles ours takes {added:.0f} MB, vectorbt {their_added:,.0f}"
    )


def _pair(
    bench: Bench, kind: str, bars: int, ours: Mapping[str, float], found: Mapping[str, Any], work: int = 0
) -> list[Sequence[Cell]]:
    """Return the rows of ours, with the memory of its own process, and of the bound, whose memory is not asked."""
    answer = bench.agrees(found["bare"], found["ours"])
    bare = {**found["bare"], "peak_rss_mb": 0.0}
    *bound, _, said = _row(kind, bars, "bare numba loop", bare, found["ratio"], answer, work)
    return [_row(kind, bars, "ours", {**ours, **found["ours"]}, 1, "", work), (*bound, "-", said)]


def _row(
    kind: str, bars: int, engine: str, found: Mapping[str, float], ratio: float, answer: str, work: int = 0
) -> Sequence[Cell]:
    seconds, busy, trades = found["seconds"], found["cpu_seconds"], int(found["trades"])
    speed, peak = (work or bars) / busy, round(found["peak_rss_mb"])
    return (kind, bars, engine, seconds * 1e3, busy * 1e3, speed, ratio, trades, peak, answer)


def _notes(bench: Bench) -> list[str]:
    return [
        "bars/s and ratios are of processor time (all engines use one thread): the clock's depends on what runs beside",
        "ours: stances of the strategy, run with equity curve and trade list, core statistics (15 figures)",
        "vectorbt: indicators, simulation, three statistics; backtesting: its run(); other peers: no statistics",
        "bare loop: one hand-written numba pass that knows one strategy only: fees, equity, trades, drawdown",
        f"ours and the bare loop: medians of {bench.size.pairs} runs in turns in one process",
        f"peers: medians of up to {bench.size.rounds} processes, in turns with ours",
        "not measured: making the data, compiling, building Bar objects",
        f"skipped: what would take over {TOO_SLOW:.0f} s or more memory than is free, and the slowest at large sizes",
        "the same: number of trades, and final equity to 1e-9, with the peer's conventions set in ours",
    ]


def _told(python: Path, module: str, *words: str) -> dict[str, Any]:
    done = subprocess.run([python, "-m", module, *words], cwd=stage.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(words)}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
