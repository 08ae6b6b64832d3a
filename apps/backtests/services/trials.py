"""Computing trials: claim a batch, compute it, settle what is done, until time or trials run out.

Whoever is killed in between leaves rows that show no sign of life; another worker claims them a few seconds later.
"""

import logging
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, NamedTuple, Self

from django.db import Error, connection

from apps.backtests import locks
from apps.backtests.locks import Claim, Settlement
from apps.backtests.models import Study, Trial
from apps.backtests.services.benches import Bench
from apps.domain.errors import Refused

FIRST: Final = 4  # trials in the first batch of a worker, before it knows how long one takes
MOST: Final = 256
BATCH_SECONDS: Final = 1.0  # what a batch shall take: as much is lost at most when a worker is killed
SETTLE_EVERY: Final = 0.25  # seconds

logger = logging.getLogger(__name__)


class Worked(NamedTuple):
    """What a turn of a worker came to."""

    settled: int
    seconds: float  # spent on computing


class Heart:
    """Keeps claims alive from a thread of its own, so that a long trial is not taken for a dead one."""

    def __init__(self) -> None:
        self._held: dict[int, Claim] = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if kind is not None:
            # An answer that will not come: somebody else may begin at once, or else once the silence is noticed.
            with suppress(Error):
                locks.release(list(self._held.values()))

    def hold(self, claims: Sequence[Claim]) -> None:
        """Keep these alive until they are let go."""
        self._held.update({each.id: each for each in claims})
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="trials", daemon=True)
            self._thread.start()

    def let_go(self, claims: Sequence[Claim]) -> None:
        """Stop keeping these alive."""
        for each in claims:
            self._held.pop(each.id, None)

    def _run(self) -> None:
        while not self._ended.wait(locks.BEAT):
            try:
                locks.beat(list(self._held.values()))
            except Error as error:
                logger.warning("No sign of life of trials could be written: %s", str(error).strip())
                connection.close()
        connection.close()


def work(study: Study, bench: Bench, worker: str, *, seconds: float) -> Worked:
    """Compute trials of a study until there is none to claim, or `seconds` have passed."""
    ends = time.monotonic() + seconds
    settled, spent, size = 0, 0.0, FIRST
    with Heart() as heart:
        while time.monotonic() < ends:
            claims = locks.claim(study.pk, worker, size)
            if not claims:
                break
            heart.hold(claims)
            began = time.monotonic()
            settled += _compute(bench, claims, heart)
            took = time.monotonic() - began
            spent += took
            size = _next_size(len(claims), took)
    return Worked(settled, spent)


def free_the_dead(study_id: int, worker: str) -> int:
    """Give back what processes of this machine had claimed that are no more; return how many trials.

    A number that another process has by now counts as alive: then the silence decides.
    """
    host, _, _ = worker.rpartition(":")
    dead = [
        name
        for name in locks.workers(study_id)
        if name != worker and name.rpartition(":")[0] == host and not _lives(name.rpartition(":")[2])
    ]
    return sum(locks.release_of(study_id, name) for name in dead)


def claimable(study_id: int) -> bool:
    """Say whether trials wait for a worker."""
    return Trial.objects.filter(study_id=study_id, state=Trial.State.QUEUED).exists()


def _compute(bench: Bench, claims: Sequence[Claim], heart: Heart) -> int:
    settled, done = 0, []
    told_at = time.monotonic()
    for claim in claims:
        done.append(_one(bench, claim))
        if time.monotonic() - told_at >= SETTLE_EVERY:
            settled += _settle(done, heart)
            done, told_at = [], time.monotonic()
    return settled + _settle(done, heart)


def _one(bench: Bench, claim: Claim) -> Settlement:
    try:
        return Settlement(claim, bench.measured(claim.parameters, claim.window))
    except Refused as error:
        return Settlement(claim, None, str(error))
    except Exception as error:  # noqa: BLE001 - a plug-in is foreign code: whatever it raises is its failure, not ours
        return Settlement(claim, None, f"{type(error).__name__}: {error}")


def _settle(done: Sequence[Settlement], heart: Heart) -> int:
    settled = locks.settle(done)
    heart.let_go([each.claim for each in done])
    return settled


def _lives(number: str) -> bool:
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        return True  # somebody else's, or a name that tells no number
    return True


def _next_size(count: int, seconds: float) -> int:
    """Return how many trials fill a batch, growing fourfold at most: the first ones may have been the quick ones."""
    wanted = int(count * BATCH_SECONDS / max(seconds, 1e-6))
    return max(1, min(wanted, 4 * count, MOST))
