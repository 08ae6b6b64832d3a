"""Crossings on their way into the table: durable before the bell, kept through every failure, written once."""

import threading

import pytest
from django.db import connection

from apps.market.models import Instrument
from apps.trading.models import Account, Exit, ExitLeg
from tests import factories
from tests.factories import crossing, stop
from tests.listener.parts import Parts, end_other_connections, unreachable_database, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def legs(account: Account, instrument: Instrument) -> list[ExitLeg]:
    return [position.legs.get() for position in factories.many(account, instrument, 20, stop("95"))]


def test_a_ring_goes_out_when_the_rows_are_there(legs: list[ExitLeg]) -> None:
    seen: list[int] = []

    def ring() -> None:
        seen.append(Exit.objects.count())
        connection.close()

    parts = Parts(epoch=1, ring=ring)
    with parts.running("emitter"):
        parts.emitter.put([crossing(leg, "94") for leg in legs])
        assert parts.emitter.settle(5)
        wait_until(lambda: 20 in seen)
    assert Exit.objects.count() == parts.emitter.written == 20
    assert len(parts.emitter) == 0


def test_a_burst_is_rung_for_once_or_twice_and_not_for_each(legs: list[ExitLeg]) -> None:
    rings: list[int] = []
    parts = Parts(epoch=1, ring=lambda: rings.append(1))
    parts.emitter.put([crossing(leg, "94") for leg in legs])
    with parts.running("emitter"):
        assert parts.emitter.settle(5)
    assert 1 <= len(rings) <= 3


def test_a_bell_that_hangs_holds_up_no_crossing(legs: list[ExitLeg]) -> None:
    release = threading.Event()
    parts = Parts(epoch=1, ring=lambda: release.wait(10))
    with parts.running("emitter"):
        for leg in legs:
            parts.emitter.put([crossing(leg, "94")])
            assert parts.emitter.settle(5)
        release.set()
    assert Exit.objects.count() == 20


def test_the_first_crossing_of_a_leg_counts(legs: list[ExitLeg]) -> None:
    parts = Parts(epoch=1)
    parts.emitter.put([crossing(legs[0], "94")])
    parts.emitter.put([crossing(legs[0], "93"), crossing(legs[1], "92")])
    with parts.running("emitter"):
        assert parts.emitter.settle(5)
    assert sorted(Exit.objects.values_list("trigger_price", flat=True)) == [92, 94]


def test_a_standby_keeps_crossings_and_writes_them_when_it_leads(legs: list[ExitLeg]) -> None:
    parts = Parts()
    with parts.running("emitter"):
        parts.emitter.put([crossing(leg, "94") for leg in legs])
        assert not parts.emitter.settle(0.3)
        assert Exit.objects.count() == 0
        factories.lead(4)
        parts.leadership.epoch = 4
        parts.leadership.leads.set()
        assert parts.emitter.settle(5)
    assert set(Exit.objects.values_list("epoch", flat=True)) == {4}
    assert Exit.objects.count() == 20


def test_what_is_done_with_is_not_written_by_a_standby(legs: list[ExitLeg]) -> None:
    parts = Parts()
    parts.emitter.put([crossing(leg, "94") for leg in legs])
    parts.emitter.forget([leg.pk for leg in legs[:15]])
    assert len(parts.emitter) == 5


def test_forgetting_the_last_crossing_settles_whoever_waits(legs: list[ExitLeg]) -> None:
    parts = Parts()
    parts.emitter.put([crossing(legs[0], "94")])
    parts.emitter.forget([legs[0].pk])
    assert parts.emitter.settle(0)


def test_an_epoch_that_has_passed_keeps_its_crossings_and_leads_no_more(
    legs: list[ExitLeg], caplog: pytest.LogCaptureFixture
) -> None:
    parts = Parts(epoch=1)
    factories.lead(2)
    with parts.running("emitter"):
        parts.emitter.put([crossing(legs[0], "94")])
        wait_until(parts.leadership.usurped.is_set)
    assert not parts.leadership.leads.is_set()
    assert Exit.objects.count() == 0
    assert len(parts.emitter) == 1
    assert "later epoch" in caplog.text


def test_crossings_outlive_a_database_that_is_away(legs: list[ExitLeg], caplog: pytest.LogCaptureFixture) -> None:
    parts = Parts(epoch=1)
    with parts.running("emitter"):
        parts.emitter.put([crossing(legs[0], "94")])
        assert parts.emitter.settle(5)
        with unreachable_database():
            parts.emitter.put([crossing(leg, "93") for leg in legs[1:]])
            assert not parts.emitter.settle(0.5)
            assert len(parts.emitter) == 19
        assert parts.emitter.settle(5)
    assert Exit.objects.count() == 20
    assert "database did not take them" in caplog.text


def test_crossings_outlive_connections_that_are_cut_again_and_again(legs: list[ExitLeg]) -> None:
    parts = Parts(epoch=1)
    with parts.running("emitter"):
        for leg in legs:
            parts.emitter.put([crossing(leg, "94")])
            end_other_connections()
        assert parts.emitter.settle(10)
    assert Exit.objects.count() == 20


def test_a_leg_whose_crossing_was_not_taken_is_doubtful_once(legs: list[ExitLeg]) -> None:
    parts = Parts(epoch=1)
    legs[0].status = "cancelled"
    legs[0].save()
    with parts.running("emitter"):
        parts.emitter.put([crossing(leg, "94") for leg in legs])
        assert parts.emitter.settle(5)
    assert parts.emitter.take_doubtful() == {legs[0].pk}
    assert parts.emitter.take_doubtful() == set()
