"""How the tasks of one worker are counted: its children count, its parent adds up and tells the database.

Children count in memory they share with their parent, each in a place of its own: nothing is locked, nothing is sent,
and what a child has counted outlives it, whatever kills it.
"""

import bisect
import mmap
from collections.abc import Iterable
from typing import Final

from billiard.process import current_process

from apps.journal.tallies import BUCKETS, Counted

PLACES: Final = 64  # children that count apart; more than that share
_KINDS: Final = len(BUCKETS) + 1
# Of each task: done, failed, seconds of running, seconds of waiting, runs per bucket, waits per bucket.
_DONE, _FAILED, _RAN, _WAITED, _RUNS = range(5)
_WAITS: Final = _RUNS + _KINDS
_WIDTH: Final = _WAITS + _KINDS


class Tallies:
    """The counts of one worker and its children; made before the children are."""

    def __init__(self, tasks: Iterable[str]) -> None:
        self._places = {name: number for number, name in enumerate(sorted(tasks))}
        self._row = len(self._places) * _WIDTH
        self._counts = memoryview(mmap.mmap(-1, max(PLACES * self._row, 1) * 8)).cast("d")
        self._told = [0.0] * self._row

    def count(self, task: str, *, ran: float, waited: float | None, failed: bool) -> None:
        """Count one run of a task, in seconds; a task nobody knew at the start is not counted."""
        place = self._places.get(task)
        if place is None:
            return
        counts, at = self._counts, (getattr(current_process(), "index", 0) % PLACES) * self._row + place * _WIDTH
        counts[at + _FAILED if failed else at + _DONE] += 1
        counts[at + _RAN] += ran
        counts[at + _RUNS + bisect.bisect_left(BUCKETS, ran)] += 1
        if waited is not None:
            counts[at + _WAITED] += waited
            counts[at + _WAITS + bisect.bisect_left(BUCKETS, waited)] += 1

    def news(self) -> tuple[list[float], dict[str, list[float]]]:
        """Return all counts as they stand, and per task what has come since the last `told`."""
        sums = [sum(column) for column in zip(*(self._of(place) for place in range(PLACES)), strict=True)]
        fresh = [now - before for now, before in zip(sums, self._told, strict=True)]
        parts = {name: fresh[n * _WIDTH : (n + 1) * _WIDTH] for name, n in self._places.items()}
        return sums, {name: part for name, part in parts.items() if any(part)}

    def told(self, sums: list[float]) -> None:
        """Remember that what `news` returned has been written down."""
        self._told = sums

    def _of(self, place: int) -> list[float]:
        return self._counts[place * self._row : (place + 1) * self._row].tolist()  # type: ignore[return-value] # cast to doubles


def counted(task: str, queue: str, part: list[float]) -> Counted:
    """Return the counts of one task as the journal takes them."""
    return Counted(
        task=task,
        queue=queue,
        done=round(part[_DONE]),
        failed=round(part[_FAILED]),
        run_seconds=part[_RAN],
        runs=[round(each) for each in part[_RUNS:_WAITS]],
        wait_seconds=part[_WAITED],
        waits=[round(each) for each in part[_WAITS:]],
    )
