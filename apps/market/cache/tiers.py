"""How a value is looked for: memory, Redis, then the database; and how it is forgotten by key, by tag and by time."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Generic, TypeVar

from django.db import connection, transaction

from apps.market.cache.flights import Flights
from apps.market.cache.local import Kept, Memory
from apps.market.cache.shared import Shared

T = TypeVar("T")
SIZE = 2_000  # values in memory
LOOKS_EVERY = 0.1  # seconds between two looks at what other processes forgot


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted(Generic[T]):
    """A value: its key and tags, how long each tier keeps it (seconds), how it is loaded and written as JSON."""

    key: str
    tags: tuple[str, ...]
    memory: float
    shared: float
    load: Callable[[], T]
    to_json: Callable[[T], Any]
    from_json: Callable[[Any], T]


@dataclass(slots=True)
class Tiers:
    """The three tiers of one process. `hits` counts which one answered, for tests and measurements."""

    memory: Memory = field(default_factory=partial(Memory, SIZE))
    shared: Shared = field(default_factory=Shared)
    hits: Counter[str] = field(default_factory=Counter)
    flights: Flights = field(default_factory=Flights)
    _seen: str | None = None
    _looked: float = 0.0

    def get(self, wanted: "Wanted[Any]") -> Any:
        """Return a value from the nearest tier that has it; a reader inside a transaction always asks the database."""
        if connection.in_atomic_block:  # it may have written what it reads, and may yet take it back
            self.hits["inside"] += 1
            return wanted.load()
        self._notice()
        kept = self.memory.get(wanted.key, time.monotonic())
        if kept is not None:
            self.hits["memory"] += 1
            return kept.value
        return self.flights.load(wanted.key, partial(self._fetch, wanted))

    def forget(self, *, keys: Sequence[str] = (), tags: Sequence[str] = ()) -> bool:
        """Forget values here at once and elsewhere within LOOKS_EVERY; False when only time will do it elsewhere."""
        told = self.shared.raise_versions([*tags, *(_own_tag(key) for key in keys)])
        self.clear()
        return told

    def clear(self) -> None:
        """Forget what this process holds."""
        self.memory.clear()
        self.flights.abandon()

    def _notice(self) -> None:
        """Look, now and then, whether another process forgot something; then nothing held here counts."""
        now = time.monotonic()
        if now - self._looked < LOOKS_EVERY:
            return
        self._looked = now
        generation = self.shared.generation()
        if generation is None or generation == self._seen:
            return
        first, self._seen = self._seen is None, generation
        self.memory.clear()
        if not first:  # at the first look nobody waits for anything older than the look
            self.flights.abandon()

    def _fetch(self, wanted: "Wanted[Any]") -> Any:
        generation = self.memory.generation
        tags = (*wanted.tags, _own_tag(wanted.key))
        found = self.shared.get(wanted.key, tags)
        if found is not None and found.value is not None:
            self.hits["shared"] += 1
            value = wanted.from_json(found.value[0])
        else:
            self.hits["database"] += 1
            value = wanted.load()
            if found is not None:
                self.shared.put(wanted.key, found.versions, wanted.to_json(value), wanted.shared)
        self.memory.put(wanted.key, Kept(value=value, until=time.monotonic() + wanted.memory, generation=generation))
        return value


def _own_tag(key: str) -> str:
    return f"key:{key}"


@cache
def _standard() -> Tiers:
    return Tiers()


_override: list[Tiers] = []


def tiers() -> Tiers:
    """Return this process's tiers."""
    return _override[-1] if _override else _standard()


@contextmanager
def use(other: Tiers) -> Iterator[Tiers]:
    """Use other tiers in this process for a while: a benchmark's own, or a test's that lie."""
    _override.append(other)
    try:
        yield other
    finally:
        _override.remove(other)


def forget(*, keys: Sequence[str] = (), tags: Sequence[str] = ()) -> bool:
    """Forget values by key and by tag, in every process."""
    return tiers().forget(keys=keys, tags=tags)


def forget_after_commit(*, keys: Sequence[str] = (), tags: Sequence[str] = ()) -> None:
    """The same once the present transaction has committed: before that, others would only load the old again."""
    transaction.on_commit(partial(forget, keys=keys, tags=tags))
