"""Statements that PostgreSQL plans once per connection: for a small batch, planning costs more than executing.

A parameter is written :name::type where it first occurs and :name after that. The server must keep a session per
connection, as it must for the advisory locks of the leaders.
"""

import re
import time
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connection

_PARAMETER = re.compile(r"(?<!:):([a-z_]+)(?:::(\w+(?:\[\])?))?")
# A plan made for small tables must not outlive their growth: it is made anew each minute, and each time a statement
# has run twice as often as when it was planned. A scan planned for ten rows costs milliseconds at ten thousand.
_PLANS_LAST = 60.0


class _Session:
    """What one server session knows."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.planned_at = time.monotonic()
        self.runs = 0

    def is_outgrown(self) -> bool:
        """Count a run and say whether the plans should be made anew."""
        self.runs += 1
        if time.monotonic() - self.planned_at < _PLANS_LAST and self.runs.bit_count() > 1:
            return False
        self.planned_at = time.monotonic()
        return True


_sessions: "WeakKeyDictionary[Any, _Session]" = WeakKeyDictionary()  # by the driver's connection


class Statement:
    """One statement, prepared on a connection when it first runs there."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._types: dict[str, str] = {}
        numbered = _PARAMETER.sub(self._number, text)
        self._prepare = f"PREPARE {name} ({', '.join(self._types.values())}) AS {numbered}"
        self._execute = f"EXECUTE {name} ({', '.join(f'%({key})s' for key in self._types)})"

    def run(self, **values: Any) -> list[tuple[Any, ...]]:
        """Execute with a value for every parameter and return the rows."""
        with connection.cursor() as cursor:
            self._ready(cursor)
            cursor.execute(self._execute, values)
            return list(cursor.fetchall())

    def _number(self, found: "re.Match[str]") -> str:
        name, type_ = found.groups()
        if type_ is not None:
            self._types.setdefault(name, type_)
        return f"${list(self._types).index(name) + 1}"

    def _ready(self, cursor: Any) -> None:
        session = _sessions.setdefault(cursor.connection, _Session())
        if self._name not in session.names:
            # One plan for every size of batch: all of them look rows up by key.
            cursor.execute("SET plan_cache_mode = force_generic_plan")
            cursor.execute(self._prepare)
            session.names.add(self._name)
        elif session.is_outgrown():
            cursor.execute("DISCARD PLANS")


def array(values: Iterable[object]) -> str:
    """Write a PostgreSQL array literal of numbers, plain words and instants; None becomes NULL."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def texts(values: Iterable[str | None]) -> str:
    """Write a PostgreSQL array literal of any texts; None becomes NULL."""
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
