"""How long a listener that starts again is blind: until its book is complete, with a million open positions."""

import gc
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import django

from benchmarks import chain, filling, stage, venue
from benchmarks.figures import Goal, Table, median

INSTRUMENTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many open positions there are, with two levels each."""

    positions: tuple[int, ...]
    rounds: int


QUICK = Size(positions=(2_000,), rounds=1)
FULL = Size(positions=(10_000, 1_000_000), rounds=3)


def run(size: Size, folder: Path) -> Table:
    """Start a real listener, and take its start apart in a process of its own."""
    table = Table(
        title="Restart of the listener, two price levels per position",
        columns=(
            "open positions",
            "s until complete",
            "s to load Python",
            "s of SQL alone",
            "s of loading the book",
            "memory MB",
        ),
    )
    for count in size.positions:
        account = filling.site(INSTRUMENTS)
        filling.positions(account, count, instruments=INSTRUMENTS, stop=filling.FAR_STOP, target=filling.FAR_TARGET)
        filling.settled()
        starts = [_start(folder) for _ in range(size.rounds)]
        parts = [_apart(count * 2) for _ in range(size.rounds)]
        sql, load, memory = (median(part[key] for part in parts) for key in ("sql", "load", "memory"))
        complete = median(starts)
        table.rows.append((count, complete, complete - load, sql, load, memory))
    goal = Goal(
        text=f"s until complete with {count:,} open positions (orientation)", value=complete, limit=5.0, at_most=True
    )
    table.goals.append(goal)
    table.notes.append(
        "until complete: from starting the process to every level being watched; prices are taken from then on"
    )
    table.notes.append("SQL alone: fetching the same levels and doing nothing with them; loading the book includes it")
    return table


def _start(folder: Path) -> float:
    with venue.running() as source, chain.listener(folder, source, record=False) as running:
        return running.until(" watches ")


def _apart(levels: int) -> dict[str, float]:
    argv = [sys.executable, "-m", "benchmarks.restarts"]
    done = subprocess.run(argv, cwd=stage.ROOT, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    if found["levels"] != levels:
        raise RuntimeError(f"{found['levels']} levels of {levels} are watched")
    return found


def main() -> None:
    """Load the book in this process and print what took how long."""
    django.setup()
    from apps.trading import watches
    from workers.listener.emit import Emitter
    from workers.listener.leader import Leadership
    from workers.listener.levels import Levels
    from workers.listener.watch import Watcher

    emitter = Emitter(Leadership("listener:0"), lambda: None)
    watcher = Watcher(emitter.put)
    for row in watches.instruments(0):
        watcher.follow(row.symbol, row.instrument_id)
    before = _memory()
    began = time.perf_counter()
    gc.disable()
    levels = Levels(0, watcher, emitter).start()
    loaded = time.perf_counter()
    memory = _memory() - before
    for _ in (*watches.resting(0), *watches.live(0)):
        pass
    print(json.dumps({"sql": time.perf_counter() - loaded, "load": loaded - began, "levels": levels, "memory": memory}))


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
