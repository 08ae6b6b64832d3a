"""Who leads: one at a time, a later one under a later epoch, and a hung one is put out."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import Error, connection, transaction

from apps.journal import leases
from apps.journal.models import Lease

pytestmark = pytest.mark.django_db(transaction=True)

ROLE = "tester:0"
PATIENT = timedelta(seconds=60)


@pytest.fixture(autouse=True)
def _let_go():
    yield
    connection.close()  # ends the session, and with it whatever lock it holds


def elsewhere(act: Callable[[], object]) -> object:
    """Do something on another connection, which ends with it."""

    def run() -> object:
        try:
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def soon() -> int | None:
    """Try to lead until PostgreSQL has noticed that the last leader's connection is gone."""
    for _ in range(100):
        epoch = leases.acquire(ROLE, hung_after=PATIENT)
        if epoch is not None:
            return epoch
        time.sleep(0.02)
    return None


def test_only_one_of_many_leads_and_the_next_one_has_a_later_epoch() -> None:
    start, stop = Barrier(6), Barrier(6)

    def compete() -> int | None:
        try:
            start.wait()
            epoch = leases.acquire(ROLE, hung_after=PATIENT)
            stop.wait()
            return epoch
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        epochs = [future.result() for future in [pool.submit(compete) for _ in range(6)]]
    assert sorted(epoch or 0 for epoch in epochs) == [0, 0, 0, 0, 0, 1]
    assert soon() == 2


def test_a_leader_that_lets_go_makes_room_at_once() -> None:
    assert leases.acquire(ROLE, hung_after=PATIENT) == 1
    assert elsewhere(lambda: leases.acquire(ROLE, hung_after=PATIENT)) is None
    leases.release(ROLE)
    assert elsewhere(lambda: leases.acquire(ROLE, hung_after=PATIENT)) == 2


def test_renewing_under_a_passed_epoch_says_that_somebody_else_leads() -> None:
    epoch = leases.acquire(ROLE, hung_after=PATIENT)
    assert epoch is not None
    assert leases.renew(ROLE, epoch)
    Lease.objects.filter(name=ROLE).update(epoch=epoch + 1)
    assert not leases.renew(ROLE, epoch)
    with transaction.atomic():
        assert not leases.holds(ROLE, epoch)
        assert leases.holds(ROLE, epoch + 1)


def test_a_leader_that_hangs_loses_its_connection_to_the_standby() -> None:
    assert leases.acquire(ROLE, hung_after=PATIENT) == 1
    assert elsewhere(lambda: leases.acquire(ROLE, hung_after=timedelta(0))) is None  # ends the hung one's session
    assert elsewhere(soon) == 2
    with pytest.raises(Error):
        leases.renew(ROLE, 1)


def test_a_leader_that_renews_is_left_alone() -> None:
    epoch = leases.acquire(ROLE, hung_after=PATIENT)
    assert elsewhere(lambda: leases.acquire(ROLE, hung_after=PATIENT)) is None
    assert leases.renew(ROLE, epoch or 0)
