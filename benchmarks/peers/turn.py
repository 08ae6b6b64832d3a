"""One measured turn: arrays in from files, one JSON line out. Runs in every environment, so it needs numpy only.

`python -m benchmarks.peers.NAME FOLDER KIND [SETTINGS]`: the bars lie in FOLDER, KIND is cross, bracket or sweep.
"""

import contextlib
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CASH, FEE = 1e6, 1e-6  # so that the account survives a hundred thousand trades
FAST, SLOW = 10, 20
STOP, TARGET = 0.02, 0.04
PAIRS = tuple((fast, slow) for fast in range(5, 25) for slow in range(30, 130, 10))  # 200 combinations
HEAD = 3_000  # bars of a first run that is not measured: it compiles and loads
MOST, PATIENCE = 50, 2.0  # runs per turn, and seconds after which no other is begun
DECIMALS = 8  # of the prices: so many that no two means are ever equal, and few enough for engines with fixed decimals


class Bars(NamedTuple):
    """The candles; `at` is in seconds."""

    at: Any
    open: Any
    high: Any
    low: Any
    close: Any
    volume: Any


class Figures(NamedTuple):
    """What came of a run; of a sweep both are sums over the combinations."""

    trades: int
    final_equity: float


Run = Callable[[], Figures]
Prepare = Callable[[Bars, Mapping[str, Any]], Run]  # turns arrays into what the engine wants, which is not measured


def main(kinds: Mapping[str, Prepare]) -> None:
    """Measure what the command line asks for."""
    folder, kind, *rest = sys.argv[1:]
    settings = json.loads(rest[0]) if rest else {}
    bars = read(Path(folder))
    kinds[kind](Bars(*(column[:HEAD] for column in bars)), settings)()
    run = kinds[kind](bars, settings)
    gc.collect()
    _forget_peak()
    base = _memory("VmRSS")
    seconds: list[float] = []
    busy: list[float] = []
    while not seconds or (len(seconds) < MOST and sum(seconds) < PATIENCE):
        began, worked = time.perf_counter(), time.process_time()
        figures = run()
        busy.append(time.process_time() - worked)
        seconds.append(time.perf_counter() - began)
    print(
        json.dumps(
            {
                "bars": len(bars.at),
                "seconds": statistics.median(seconds),
                "cpu_seconds": statistics.median(busy),
                "runs": len(seconds),
                "first_cpu_seconds": busy[0],
                "trades": int(figures.trades),
                "final_equity": float(figures.final_equity),
                "base_rss_mb": base,
                "peak_rss_mb": _memory("VmHWM"),
            }
        )
    )


def make(folder: Path, count: int, seed: int = 4) -> None:
    """Write a random walk of one-minute bars with gaps between them, a file per column."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(draw.normal(0.0, 8e-4, count)))
    opened = np.concatenate([[100.0], close[:-1]]) * np.exp(draw.normal(0.0, 1e-4, count))
    close, opened = np.round(close, DECIMALS), np.round(opened, DECIMALS)
    high = np.round(np.maximum(opened, close) * (1.0 + np.abs(draw.normal(0.0, 3e-4, count))), DECIMALS)
    low = np.round(np.minimum(opened, close) * (1.0 - np.abs(draw.normal(0.0, 3e-4, count))), DECIMALS)
    at = 1_577_836_800 + 60 * np.arange(count, dtype=np.int64)
    volume = np.round(draw.uniform(1e5, 1e6, count))
    for name, column in zip(Bars._fields, (at, opened, high, low, close, volume), strict=True):
        np.save(folder / f"{name}.npy", column)


def read(folder: Path) -> Bars:
    """Read the columns into memory."""
    return Bars(*(np.load(folder / f"{name}.npy") for name in Bars._fields))


def _forget_peak() -> None:
    # Linux lets a process begin a new peak of its memory; elsewhere what loading took stays in the figure.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _memory(name: str) -> float:
    """Return memory of this process in MB; not from getrusage, whose peak counts the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))
