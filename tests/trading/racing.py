"""Races with real threads and connections, and what a connection said to the database."""

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection
from django.db.models.query import QuerySet
from django.test.utils import CaptureQueriesContext

from apps.trading import locks

LOCK = "FOR NO KEY UPDATE OF p SKIP LOCKED"


def race(*runs: Callable[[], Any]) -> list[Any]:
    """Run everything at once, each on a connection of its own; return the answers, exceptions among them."""
    barrier = Barrier(len(runs))
    answers: list[Any] = [None] * len(runs)

    def one(index: int, run: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            barrier.wait()
            answers[index] = run()
        except Exception as error:  # noqa: BLE001 - the test looks at what happened
            answers[index] = error
        finally:
            connection.close()

    threads = [Thread(target=one, args=(index, run)) for index, run in enumerate(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return answers


@contextmanager
def without_row_locks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take the guard off: every lock locks nothing, the ORM's and the one of the drain's own statement."""
    leave = copy.copy(locks._LEAVE)
    leave._name = "positions_to_leave_unlocked"
    leave._prepare = leave._prepare.replace("PREPARE positions_to_leave", f"PREPARE {leave._name}").replace(LOCK, "")
    leave._execute = leave._execute.replace("positions_to_leave", leave._name)
    assert leave._prepare != locks._LEAVE._prepare
    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, "select_for_update", lambda rows, **_: rows.all())
        patch.setattr(locks, "_LEAVE", leave)
        yield


@contextmanager
def without_indexes(*names: str) -> Iterator[None]:
    """Take unique indexes and constraints off for a while, and put them back on tables that the test has emptied."""
    put_back = []
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(
                "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s",
                [name],
            )
            found = cursor.fetchone()
            if found:
                cursor.execute(f"ALTER TABLE {found[0]} DROP CONSTRAINT {name}")
                put_back.append(f"ALTER TABLE {found[0]} ADD CONSTRAINT {name} {found[1]}")
            else:
                cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", [name])
                put_back.append(cursor.fetchone()[0])
                cursor.execute(f"DROP INDEX {name}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE trading_account, trading_drain CASCADE")
            for statement in put_back:
                cursor.execute(statement)


@contextmanager
def captured() -> Iterator[list[str]]:
    """Collect the statements of this connection."""
    statements: list[str] = []
    with CaptureQueriesContext(connection) as queries:
        yield statements
    statements += [query["sql"] for query in queries]


def assert_locked_once_before(statements: Sequence[str], table: str) -> None:
    """Assert one ordered FOR UPDATE on a table, before the table is changed, and nothing read before it is acted on."""
    locks = [i for i, text in enumerate(statements) if re.search(rf'FROM "{table}".* FOR (NO KEY )?UPDATE', text, re.S)]
    changes = [i for i, text in enumerate(statements) if re.match(rf'\s*UPDATE "?{table}"? ', text)]
    assert len(locks) == 1, statements
    assert changes, statements
    assert locks[0] < min(changes)
    lock = statements[locks[0]]
    assert re.search(r"ORDER BY|= \d+", lock.rpartition("WHERE")[2]), lock
