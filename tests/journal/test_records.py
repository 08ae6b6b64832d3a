"""Facts and signs of life: written once, in the transaction they belong to, and read back as they were."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection, transaction

from apps.journal import pulses, services
from apps.journal.models import Event, Pulse

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_an_event_goes_with_its_transaction() -> None:
    with transaction.atomic():
        services.record("test.done", "test:1", payload={"a": "1.50"})
        transaction.set_rollback(True)
    assert not Event.objects.exists()


def test_many_facts_are_written_in_order_with_what_they_say() -> None:
    facts = [
        services.Fact("test.done", f"test:{n}", n or None, "me", {"n": n, "text": "a 'quote', {x}"}) for n in range(5)
    ]
    services.record_many(facts)
    found = Event.objects.order_by("id")
    assert [(e.subject, e.account_id, e.actor, e.payload) for e in found] == [
        (f.subject, f.account_id, f.actor, dict(f.payload)) for f in facts
    ]


@pytest.mark.parametrize("change", ["UPDATE journal_event SET kind = 'x'", "DELETE FROM journal_event"])
def test_a_fact_can_neither_be_changed_nor_deleted(change: str) -> None:
    services.record("test.done", "test:1", payload={})
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        connection.cursor().execute(change)
    assert Event.objects.get().kind == "test.done"


def test_a_process_has_one_pulse_and_a_silent_one_is_forgotten() -> None:
    for second in range(3):
        pulses.beat("tester", {"n": second}, started_at=NOW, now=NOW + timedelta(seconds=second))
    pulse = Pulse.objects.get()
    assert (pulse.facts["n"], pulse.started_at) == (2, NOW)  # beside what every sign of life says
    assert pulses.alive("test", now=NOW + timedelta(seconds=4), within=timedelta(seconds=3)) == [pulse]
    assert not pulses.alive("test", now=NOW + timedelta(seconds=9), within=timedelta(seconds=3))
    assert pulses.prune(before=NOW) == 0
    assert pulses.prune(before=NOW + timedelta(seconds=3)) == 1
