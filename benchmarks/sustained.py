"""How many exits per second one, two and four draining processes hold; `python -m benchmarks.sustained` is one."""

import contextlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import django

from benchmarks import chain, crossing, filling, stage
from benchmarks.figures import Goal, Table, median

_TOOK = """
SELECT extract(epoch FROM max(d.committed_at) - min(d.claimed_at))::float8, count(*), count(DISTINCT d.worker)
FROM trading_exit e JOIN trading_drain d ON d.id = e.drain_id WHERE e.id > %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many exits wait for the processes in each round."""

    exits: int
    rounds: int


PROCESSES = (1, 2, 4)
QUICK = Size(exits=600, rounds=1)
FULL = Size(exits=20_000, rounds=3)


def run(size: Size, folder: Path) -> Table:
    """Let one, two and four processes execute the same number of waiting exits."""
    del folder
    table = Table(
        title=f"Sustained exits per second, {size.exits:,} exits waiting at the start of each round",
        columns=("processes", "exits/s", "us per exit", "times one process"),
    )
    account = filling.site(50)
    total = size.exits * size.rounds * len(PROCESSES)
    filling.positions(account, total, instruments=50, stop=filling.ONE_STOP, target=filling.FAR_TARGET)
    filling.books()
    lead, legs = crossing.fence(), crossing.stops()
    rates: dict[int, list[float]] = {processes: [] for processes in PROCESSES}
    for _ in range(size.rounds):
        for processes, found in rates.items():
            now, legs = legs[: size.exits], legs[size.exits :]
            found.append(_round(now, lead, processes))
    for processes, found in rates.items():
        table.rows.append((processes, median(found), 1e6 / median(found), median(found) / median(rates[1])))
    broken = chain.broken()
    table.goals.append(Goal(text="exits/s with two processes (orientation)", value=median(rates[2]), limit=5_000.0))
    table.goals.append(Goal(text="rows that break an invariant afterwards", value=broken, limit=0, at_most=True))
    return table


def _round(legs: list[int], lead: object, processes: int) -> float:
    ((before,),) = stage.rows("SELECT coalesce(max(id), 0) FROM trading_exit")
    for start in range(0, len(legs), 5_000):
        crossing.write(legs[start : start + 5_000], lead)
    with contextlib.ExitStack() as stack:
        drains = [stack.enter_context(_process()) for _ in range(processes)]
        for one in drains:
            assert one.stdout is not None
            one.stdout.readline()  # it is warm
        for one in drains:
            assert one.stdin is not None
            one.stdin.close()  # go
        for one in drains:
            one.wait(120)
    ((took, count, _),) = stage.rows(_TOOK, [before])
    if count != len(legs):
        raise RuntimeError(f"{count} exits of {len(legs)} were executed")
    return len(legs) / float(took)


def _process() -> "subprocess.Popen[str]":
    argv, pipe = [sys.executable, "-m", "benchmarks.sustained"], subprocess.PIPE
    return subprocess.Popen(argv, cwd=stage.ROOT, stdin=pipe, stdout=pipe, text=True)


def main() -> None:
    """Connect, say so, and once standard input ends execute exits until none waits."""
    django.setup()
    stage.rows("SELECT 1")
    print("ready", flush=True)
    sys.stdin.read()
    while crossing.drain():
        pass


if __name__ == "__main__":
    main()
