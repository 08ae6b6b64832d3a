"""The market store: ticks in, candles out, beside a bare COPY. Runs `benchmarks/market_store.py` as it stands."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks import stage
from benchmarks.figures import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many ticks are loaded, how often, and among how many candles is read."""

    ticks: int
    rounds: int
    candles: int


QUICK = Size(ticks=20_000, rounds=1, candles=120_000)
FULL = Size(ticks=1_000_000, rounds=3, candles=1_000_000)


def run(size: Size, folder: Path) -> Table:
    """Run it and put its figures into a table."""
    options = ["--ticks", size.ticks, "--rounds", size.rounds, "--candles", size.candles, "--json"]
    options += ["--url", stage.superuser_url(folder)]
    argv = [sys.executable, str(stage.ROOT / "benchmarks" / "market_store.py"), *map(str, options)]
    environment = {**os.environ, "PYTHONPATH": str(stage.ROOT)}
    done = subprocess.run(argv, cwd=stage.ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    figures = json.loads(done.stdout)
    table = Table(title="Market store", columns=("part", "what", "figure"))
    for part, values in figures.items():
        table.rows += [
            (part.replace("_", " "), name.replace("_", " "), value) for name, value in values.items() if name != "plan"
        ]
    return table
