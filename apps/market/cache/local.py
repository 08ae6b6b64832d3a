"""The first tier: a bounded memory of this process, forgotten by time, by generation, and by least recent use."""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A value, until when it counts (monotonic seconds), and the generation it was read in."""

    value: Any
    until: float
    generation: int


class Memory:
    """At most `size` values; the least recently used one goes first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._generation = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def generation(self) -> int:
        """Return the number that counts how often everything was forgotten; read it before loading a value."""
        return self._generation

    def get(self, key: str, now: float) -> Kept | None:
        """Return what is kept and still counts."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            if kept.until <= now or kept.generation != self._generation:
                del self._kept[key]
                return None
            self._kept.move_to_end(key)
            return kept

    def put(self, key: str, kept: Kept) -> None:
        """Keep a value, unless everything was forgotten while it was being loaded."""
        with self._lock:
            if kept.generation != self._generation:
                return
            self._kept[key] = kept
            self._kept.move_to_end(key)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget everything, what is being loaded now included."""
        with self._lock:
            self._generation += 1
            self._kept.clear()
