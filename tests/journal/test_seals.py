"""Seals: what is settled is sealed once, and whoever touches it afterwards is found out."""

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from threading import Barrier

import psycopg2
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.journal import seals, services
from apps.journal.models import Event, Seal
from apps.ops import invariants
from tests import factories
from tests.conftest import database_url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tick_store")]


WRITE = """
INSERT INTO journal_event (kind, subject, actor, payload, at)
SELECT 'test.happened', 'test:' || n, 'me', '{"price": "1.5", "b": [1, null]}', now() - interval '10 minutes'
FROM generate_series(1, %s) AS n
"""


def happened(count: int) -> None:
    """Write events of ten minutes ago."""
    with connection.cursor() as cursor:
        cursor.execute(WRITE, [count])


def sealed_by(most: int = 3) -> int:
    return seals.seal(factories.now(), most=most)


def broken() -> list[list[str]]:
    (found,) = [each for each in invariants.check() if each.id == "J1"]
    assert len(found.examples) == min(found.violations, 5)
    return found.examples


@pytest.fixture
def sealed() -> list[Event]:
    """Nine events under three seals."""
    happened(9)
    assert [sealed_by() for _ in range(4)] == [3, 3, 3, 0]
    assert broken() == []
    return list(Event.objects.order_by("id"))


@contextlib.contextmanager
def unguarded() -> Iterator[None]:
    """Be the owner of the table, who can switch the guard off."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE journal_event DISABLE TRIGGER append_only")
        cursor.execute("ALTER TABLE journal_seal DISABLE TRIGGER append_only")
        yield
        cursor.execute("ALTER TABLE journal_event ENABLE TRIGGER append_only")
        cursor.execute("ALTER TABLE journal_seal ENABLE TRIGGER append_only")


def test_what_is_settled_is_sealed_once_and_in_order(sealed: list[Event]) -> None:
    rows = list(Seal.objects.order_by("place"))
    assert [(row.place, row.until, row.events) for row in rows] == [
        (number, sealed[3 * number - 1].pk, 3) for number in (1, 2, 3)
    ]
    assert len({row.digest for row in rows}) == 3
    assert seals.newest() == seals.Anchor(3, rows[2].digest)


def test_what_may_still_get_a_lower_number_is_left_alone() -> None:
    services.record("test.happened", "test:1", payload={})
    assert seals.seal(factories.now() + timedelta(minutes=4.9)) == 0
    assert seals.seal(factories.now() + timedelta(minutes=5.1)) == 1


def test_a_transaction_that_is_open_for_long_is_waited_for() -> None:
    happened(1)
    with contextlib.closing(psycopg2.connect(database_url())) as other:
        other.cursor().execute(WRITE, [1])
        assert seals.seal(factories.now() + timedelta(minutes=5)) == 0
        other.commit()
    assert seals.seal(factories.now() + timedelta(minutes=5)) == 2


def test_many_that_seal_at_once_make_one_chain() -> None:
    happened(30)
    start = Barrier(6)

    def hurry() -> int:
        try:
            start.wait(10)
            return sum(sealed_by() for _ in range(12))
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        done = [each.result() for each in [pool.submit(hurry) for _ in range(6)]]
    assert sum(done) == 30
    assert [row.place for row in Seal.objects.order_by("place")] == list(range(1, 11))
    assert broken() == []


@pytest.mark.parametrize(
    "tampering",
    [
        'UPDATE journal_event SET payload = \'{"price": "2"}\' WHERE id = %s',
        "UPDATE journal_event SET at = at + interval '1 microsecond' WHERE id = %s",
        "UPDATE journal_event SET actor = 'you' WHERE id = %s",
        "DELETE FROM journal_event WHERE id = %s",
    ],
)
def test_a_changed_or_missing_event_is_found_under_its_seal(sealed: list[Event], tampering: str) -> None:
    with unguarded(), connection.cursor() as cursor:
        cursor.execute(tampering, [sealed[4].pk])
    assert [row[0] for row in broken()] == ["2"]


def test_an_event_that_is_slipped_in_is_found(sealed: list[Event]) -> None:
    with unguarded(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM journal_event WHERE id = %s", [sealed[0].pk])
        cursor.execute(
            "INSERT INTO journal_event (id, kind, subject, actor, payload) VALUES (%s, 'test.forged', 'x:1', '', '{}')",
            [sealed[0].pk],
        )
    assert [row[0] for row in broken()] == ["1"]


def test_a_seal_that_is_gone_is_missed(sealed: list[Event]) -> None:
    assert len(sealed) == 9
    with unguarded(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM journal_seal WHERE place = 2")
    assert [row[0] for row in broken()] == ["3"]


def test_a_chain_that_was_made_anew_differs_from_what_was_kept_elsewhere(sealed: list[Event]) -> None:
    kept = seals.newest()
    assert kept is not None
    assert _verified(kept)
    with unguarded(), connection.cursor() as cursor:
        cursor.execute("UPDATE journal_event SET actor = 'you' WHERE id = %s", [sealed[4].pk])
        cursor.execute("DELETE FROM journal_seal")
    while sealed_by():
        pass
    assert broken() == []  # the chain itself is whole
    assert not _verified(kept)


def test_a_seal_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(CommandError, match="PLACE:DIGEST; copy it from `seal`"):
        call_command("verify", "--seal", "17")


def _verified(anchor: seals.Anchor) -> bool:
    said = StringIO()
    with contextlib.suppress(SystemExit):
        call_command("verify", "--json", "--seal", f"{anchor.place}:{anchor.digest}", stdout=said)
    return bool(json.loads(said.getvalue())["ok"])
