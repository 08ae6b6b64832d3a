"""Following the journal by number without missing an event, although numbers become visible out of order."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from apps.web.gateway.place import MOST, Place

PATIENCE = 60.0  # seconds a missing number is asked for; the settings end any transaction well before
LOOK_BACK = 10_000  # numbers below the last one that may still be missing when following begins
WIDEST_GAP = 10_000  # a sequence that was set forward leaves a gap that nobody will fill
_NEW = """
SELECT id, kind, at, account_id, subject, payload::text FROM journal_event WHERE id > %s ORDER BY id LIMIT %s
"""
_LATE = """
SELECT id, kind, at, account_id, subject, payload::text FROM journal_event WHERE id = ANY(%s) ORDER BY id
"""
_SINCE = """
SELECT id, kind, at, account_id, subject, payload::text FROM journal_event
WHERE id > %s AND id <= %s AND (%s OR account_id = ANY(%s) OR account_id IS NULL AND kind = ANY(%s))
ORDER BY id LIMIT %s
"""
BEGINNING = Place(0)


class Fact(NamedTuple):
    """One event as the journal holds it; the payload is JSON text, passed on as it is."""

    id: int
    kind: str
    at: datetime
    account_id: int | None
    subject: str
    payload: str
    after: Place = BEGINNING  # of whoever was given this and all before it


class Scope(NamedTuple):
    """Whose events to read: those of some accounts and some kinds that belong to none, or all."""

    accounts: Collection[int]
    kinds: Sequence[str]
    everything: bool = False


class Tail:
    """Reads new events and those that became visible late, each exactly once. Belongs to one thread."""

    def __init__(self) -> None:
        self._head: int | None = None
        self._missing: dict[int, float] = {}  # number -> when it was first missed, on a monotonic clock

    @property
    def place(self) -> Place:
        """Where the tail stands after the last poll."""
        return Place(self._head or 0, frozenset(self._missing))

    def forget(self) -> None:
        """Stand nowhere again: the next poll begins at the end of the journal."""
        self._head, self._missing = None, {}

    def poll(self, clock: float, limit: int) -> list[Fact]:
        """Return the events that became visible since the last poll, late ones first; at most `limit` new ones."""
        if self._head is None:
            self._begin(clock)
        self._missing = {number: since for number, since in self._missing.items() if clock - since < PATIENCE}
        late = _fetch(_LATE, [list(self._missing)]) if self._missing else []
        new = _fetch(_NEW, [self._head, limit])
        return [*self._placed(late, clock), *self._placed(new, clock)]

    def _placed(self, facts: list[Fact], clock: float) -> list[Fact]:
        """Step over events one by one and say with each where that leads."""
        placed = []
        gaps = Place(0)
        for number, fact in enumerate(facts):
            if not self._step(fact.id, clock) or number == 0:
                gaps = self._gaps()
            # With many gaps clients are told the number below them all: exact would cost more than it is worth.
            after = Place(self._head or 0, gaps.missing) if gaps.missing or not self._missing else gaps
            placed.append(fact._replace(after=after))
        return placed

    def _step(self, number: int, clock: float) -> bool:
        """Have an event; return whether the gaps are what they were."""
        if number <= (self._head or 0):
            del self._missing[number]
            return False
        first = max((self._head or 0) + 1, number - WIDEST_GAP)
        self._missing |= dict.fromkeys(range(first, number), clock)
        self._head = number
        return first == number

    def _gaps(self) -> Place:
        return self.place if len(self._missing) <= MOST else Place(min(self._missing) - 1)

    def _begin(self, clock: float) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM journal_event ORDER BY id DESC LIMIT %s", [LOOK_BACK])
            known = sorted(number for (number,) in cursor.fetchall())
        self._head = known[0] if known else 0
        for number in known[1:]:
            self._step(number, clock)


def last_id() -> int:
    """Return the number of the last event there is; 0 before the first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM journal_event")
        return int(cursor.fetchone()[0])


def read_between(after: int, until: int, scope: Scope, limit: int) -> list[Fact]:
    """Return the events of a scope after a number and up to another, oldest first."""
    values = [after, until, scope.everything, list(scope.accounts), list(scope.kinds), limit]
    return _fetch(_SINCE, values)


def read_these(numbers: Iterable[int]) -> list[Fact]:
    """Return those of some events that are visible, oldest first."""
    return _fetch(_LATE, [list(numbers)])


def _fetch(sql: str, values: list[Any]) -> list[Fact]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [Fact(*row) for row in cursor.fetchall()]
