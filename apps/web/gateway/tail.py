"""Following the journal by number without missing an event, although numbers become visible out of order."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

PATIENCE = 60.0  # seconds a missing number is asked for; the settings end any transaction well before
LOOK_BACK = 2000  # numbers below the last one that may still be missing when following begins
WIDEST_GAP = 10_000  # a sequence that was set forward leaves a gap that nobody will fill
_NEW = """
SELECT id, kind, at, account_id, subject, payload::text FROM journal_event WHERE id > %s ORDER BY id LIMIT %s
"""
_LATE = """
SELECT id, kind, at, account_id, subject, payload::text FROM journal_event WHERE id = ANY(%s) ORDER BY id
"""
_SINCE = """
SELECT id, kind, at, account_id, subject, payload::text FROM journal_event
WHERE id > %s AND (%s OR account_id = ANY(%s)) ORDER BY id LIMIT %s
"""


class Fact(NamedTuple):
    """One event as the journal holds it; the payload is JSON text, passed on as it is."""

    id: int
    kind: str
    at: datetime
    account_id: int | None
    subject: str
    payload: str


class Place(NamedTuple):
    """How far the journal was followed: everything up to `head` except what was missing."""

    head: int
    missing: frozenset[int]

    def passed(self, event_id: int) -> bool:
        """Say whether an event was handed out already, so that it will not come again."""
        return event_id <= self.head and event_id not in self.missing

    @property
    def resume(self) -> int:
        """The number after which nothing is lost: below it, nothing is missing any more."""
        return min(self.missing, default=self.head + 1) - 1


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
        for fact in late:
            del self._missing[fact.id]
        new = _fetch(_NEW, [self._head, limit])
        self._advance((fact.id for fact in new), clock)
        return late + new

    def _begin(self, clock: float) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM journal_event ORDER BY id DESC LIMIT %s", [LOOK_BACK])
            known = sorted(number for (number,) in cursor.fetchall())
        self._head = known[0] if known else 0
        self._advance(known[1:], clock)

    def _advance(self, numbers: Iterable[int], clock: float) -> None:
        for number in numbers:
            first = max((self._head or 0) + 1, number - WIDEST_GAP)
            self._missing |= dict.fromkeys(range(first, number), clock)
            self._head = number


def last_id() -> int:
    """Return the number of the last event there is; 0 before the first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM journal_event")
        return int(cursor.fetchone()[0])


def read_after(event_id: int, accounts: Collection[int] | None, limit: int) -> list[Fact]:
    """Return the events after a number that belong to some accounts, oldest first; None stands for all events."""
    return _fetch(_SINCE, [event_id, accounts is None, list(accounts or ()), limit])


def _fetch(sql: str, values: list[Any]) -> list[Fact]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [Fact(*row) for row in cursor.fetchall()]
