"""How many ticks per second a listener takes in, beside a bare loop that only receives and parses, in turns."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import chain, filling, receiver, stage, venue
from benchmarks.figures import Goal, Table, median
from benchmarks.venue import Venue

_STORED = """
SELECT (facts->>'ticks')::int, (facts->>'ticks_stored')::int, (facts->>'ticks_dropped')::int FROM journal_pulse
WHERE name = 'listener:0'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many ticks are received at a time, with how many open levels, how often."""

    ticks: int
    levels: tuple[int, ...]
    rounds: int


QUICK = Size(ticks=20_000, levels=(1_000, 20_000), rounds=1)
FULL = Size(ticks=300_000, levels=(1_000, 100_000, 1_000_000), rounds=3)


def run(size: Size, folder: Path) -> Table:
    """Measure the receive thread for every number of levels, then the whole process."""
    table = Table(title="", columns=("receiver", "open levels", "ticks/s", "of bare", "us of CPU per tick"))
    with venue.running() as source:
        length = source.blast(size.ticks, receiver.products())
        table.title = (
            f"Receiving {length}-byte tickers of 100 products over a loopback WebSocket, {size.ticks:,} at a time"
        )
        rates = _threads(table, source, size)
        bare = rates.pop("bare")
        for record in (False, True):
            _process(table, source, size, bare, folder, record=record)
    worst, best = min(rates.values()), max(rates.values())
    table.goals.append(Goal(text="slowest of the receive thread / bare loop", value=worst / bare, limit=0.5))
    first, last = rates[f"{size.levels[0]}"], rates[f"{size.levels[-1]}"]
    text = f"from {size.levels[0]:,} to {size.levels[-1]:,} levels slower by a factor"
    table.goals.append(Goal(text=text, value=first / last, limit=1.3, at_most=True))
    table.notes.append(f"medians of {size.rounds} rounds in turns; fastest thread {best:,.0f} ticks/s")
    table.notes.append(
        "receive thread: decode, order and sanity checks, comparison with the levels, as the listener runs it"
    )
    table.notes.append(
        "whole listener: `manage.py listener` with all its threads, as the venue sees it (its ping answered)"
    )
    return table


def _threads(table: Table, source: Venue, size: Size) -> dict[str, float]:
    kinds: dict[str, list[str]] = {"bare": ["bare"]} | {str(count): ["listener", str(count)] for count in size.levels}
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for _ in range(size.rounds):
        for kind, words in kinds.items():
            found[kind].append(_receiver(source, size.ticks, words))
    rates = {kind: size.ticks / median(one["seconds"] for one in rounds) for kind, rounds in found.items()}
    for kind, rounds in found.items():
        busy = median(one["cpu_seconds"] for one in rounds) / size.ticks * 1e6
        levels = "-" if kind == "bare" else f"{int(kind):,}"
        name = "bare loop" if kind == "bare" else "receive thread"
        table.rows.append((name, levels, rates[kind], rates[kind] / rates["bare"], busy))
    return rates


def _receiver(source: Venue, ticks: int, words: Sequence[str]) -> dict[str, float]:
    argv = [sys.executable, "-m", "benchmarks.receiver", words[0], source.url, str(ticks), *words[1:]]
    done = subprocess.run(argv, cwd=stage.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _process(table: Table, source: Venue, size: Size, bare: float, folder: Path, *, record: bool) -> None:
    rates, losses = [], 0
    for _ in range(size.rounds):
        account = filling.site(receiver.PRODUCTS)
        filling.positions(
            account, 5_000, instruments=receiver.PRODUCTS, stop=filling.FAR_STOP, target=filling.FAR_TARGET
        )
        stage.rows("TRUNCATE market.ticks")
        source.forget()
        with chain.listener(folder, source, record=record):
            rates.append(size.ticks / source.flooded())
            stage.until(lambda: _settled(size.ticks, record=record), 60, "the ticks in the store")
            losses += stage.rows(_STORED)[0][2]
    name = f"whole listener, ticks {'recorded' if record else 'not recorded'}"
    table.rows.append((name, "10,000", median(rates), median(rates) / bare, "-"))
    if record:
        table.notes.append(f"{losses:,} ticks were not recorded because they came faster than the store took them")


def _settled(ticks: int, *, record: bool) -> bool:
    rows = stage.rows(_STORED)
    return bool(rows) and rows[0][0] == ticks and (not record or rows[0][1] + rows[0][2] >= ticks)
