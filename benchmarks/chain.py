"""The whole chain as real processes: a venue, the listener and the exits worker as `manage.py up` starts them."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import filling, stage, venue
from benchmarks.venue import Venue

NOBODY = "http://127.0.0.1:9"  # REST is not needed here; a refused connection answers at once


@contextlib.contextmanager
def worker(folder: Path) -> Iterator[None]:
    """Run the exits worker, with the empty task beside its own."""
    argv, environment = _child("worker-exits")
    options = ["--include", "benchmarks.empty", "--loglevel=INFO"]
    with stage.running([*argv, *options], folder / "worker.log", environment) as running:
        running.until(" ready.")
        yield


@contextlib.contextmanager
def listener(folder: Path, source: Venue, *, record: bool = True) -> Iterator[stage.Running]:
    """Run the listener against the venue, once it watches every level."""
    argv, environment = _child("listener")
    own = {"COINBASE_WS_URL": source.url, "COINBASE_REST_URL": NOBODY, "RECORD_TICKS": str(int(record))}
    with stage.running(argv, folder / "listener.log", {**environment, **own}) as running:
        running.until(" watches ")
        yield running


@contextlib.contextmanager
def running(folder: Path, instruments: Sequence[int]) -> Iterator[Venue]:
    """Run all three until prices flow and the listener leads."""
    with venue.running() as source, worker(folder), listener(folder, source):
        stage.until(lambda: stage.rows("SELECT 1 FROM journal_lease WHERE epoch > 0"), 10, "leading")
        # Three prices each: the first of a session may be an old one, and warm paths are what is measured.
        stage.until(source.ready, 10, "a subscription")
        source.play([(filling.symbol(number), "1000.03") for number in instruments] * 3, 500)
        yield source


def _child(name: str) -> tuple[list[str], dict[str, str]]:
    from django.conf import settings

    from apps.ops import processes

    found = {child.name: child for child in processes.children(settings, flower_password="unused")}[name]
    return list(found.argv[1:]), {**os.environ, **found.environment}


def crossed(exits: int, patience: float) -> None:
    """Wait until so many exits are executed and their commits noted."""
    statement = """
        SELECT count(*) FROM trading_exit e JOIN trading_drain d ON d.id = e.drain_id
        WHERE e.status = 'done' AND d.committed_at IS NOT NULL
    """
    stage.until(lambda: stage.rows(statement)[0][0] >= exits, patience, f"{exits} exits")


def broken() -> int:
    """Return how many rows break an invariant: doubled, missing in the books, left open."""
    from apps.ops import invariants

    return sum(finding.violations for finding in invariants.check())
