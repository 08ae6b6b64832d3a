"""How long a second process takes to answer: `manage.py backtest --json` on 2,148 bars, its machine code cached."""

import csv
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from benchmarks import stage
from benchmarks.figures import Goal, Table, median
from benchmarks.peers import turn

BARS = 2_148  # as many as the daily candles of the reference rows
OPTIONS = ("--fee", "0.002", "--slippage", "0", "--stop-loss", "2%", "--take-profit", "4%", "--exit-on-signal", "no")
COMMAND = ("manage.py", "backtest", "sma_cross", "--param", "fast=10", "--param", "slow=20", *OPTIONS, "--json")
# What any such command pays before its own first line.
IMPORTS = ("-c", "import django.core.management, numba")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many pairs of processes."""

    rounds: int


class Spent(NamedTuple):
    """Seconds by the clock and of the processor."""

    wall: float
    user: float
    system: float


QUICK = Size(rounds=1)
FULL = Size(rounds=11)


def run(size: Size, folder: Path) -> Table:
    """Compile once, then start processes in turns with one that only imports."""
    file = folder / "bars.csv"
    _write(file)
    command = (*COMMAND, "--candles", str(file))
    first = _spent(*command)
    pairs = [(_spent(*IMPORTS), _spent(*command)) for _ in range(size.rounds)]
    file.unlink()
    table = Table(
        title=f"`manage.py backtest sma_cross` in a process of its own, {BARS:,} bars from a CSV file, medians",
        columns=("process", "seconds", "of that user CPU", "system CPU", "x imports"),
    )
    imports, later = zip(*pairs, strict=True)
    ratio = median(b.wall / a.wall for a, b in pairs)
    table.rows = [
        ("first one here, which compiles what is not cached yet", *first, "-"),
        ("second and later ones", *_medians(later), ratio),
        ("imports of Django and numba, nothing else", *_medians(imports), 1),
    ]
    table.goals.append(
        Goal(text="seconds of a second process", value=median(each.wall for each in later), limit=1.5, at_most=True)
    )
    table.notes.append(f"medians of {size.rounds} pairs in turns; from starting Python to the end of the process")
    return table


def _medians(spent: tuple[Spent, ...]) -> Spent:
    return Spent(*(median(column) for column in zip(*spent, strict=True)))


def _spent(*words: str) -> Spent:
    """Run one process and say what it took. Raises RuntimeError when it fails or answers with no JSON."""
    before, began = os.times(), time.perf_counter()
    done = subprocess.run([sys.executable, *words], cwd=stage.ROOT, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, os.times()
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    if "--json" in words:
        json.loads(done.stdout)
    return Spent(wall, after.children_user - before.children_user, after.children_system - before.children_system)


def _write(file: Path) -> None:
    turn.make(file.parent / "walk", BARS)
    bars = turn.read(file.parent / "walk")
    for column in (file.parent / "walk").iterdir():
        column.unlink()
    (file.parent / "walk").rmdir()
    with file.open("w", newline="") as opened:
        out = csv.writer(opened)
        out.writerow(("Time", *(name.title() for name in bars._fields[1:])))
        for at, *values in zip(*bars, strict=True):
            out.writerow((datetime.fromtimestamp(int(at), UTC).isoformat(), *map(float, values)))
