"""Leader and standby: one writes, the other follows within half a second, and each exit is written once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from apps.journal import leases
from apps.journal.models import Lease
from apps.market.models import Instrument
from apps.trading.models import Account, Exit, Position
from apps.trading.services import exits
from tests import factories
from tests.factories import crossing, stop
from tests.listener.feeding import tick
from tests.listener.parts import Parts, wait_until

pytestmark = pytest.mark.django_db(transaction=True)
HALF_A_SECOND = 0.5
SLOW = 1.0  # what a loaded machine may add to it


class Zombie:
    """A leader that took the lease and does nothing more: it neither renews nor notices."""

    def __init__(self) -> None:
        self.epoch: int | None = None
        self._held, self._leave = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.epoch = leases.acquire(factories.ROLE, hung_after=timedelta(seconds=60))
        self._held.set()
        self._leave.wait(60)
        connection.close()

    @contextmanager
    def leading(self) -> Iterator[int]:
        self._thread.start()
        assert self._held.wait(10)
        assert self.epoch is not None
        try:
            yield self.epoch
        finally:
            self._leave.set()
            self._thread.join(10)


def end_leader() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [Lease.objects.get(name=factories.ROLE).backend_pid])


@pytest.fixture
def crowd(account: Account, instrument: Instrument) -> list[Position]:
    return factories.many(account, instrument, 40, stop("95"))


def started(instrument: Instrument, **more: object) -> Parts:
    parts = Parts(instrument, **more)
    parts.levels.start()
    return parts


def fed(leader: Parts, standby: Parts, price: str, number: int) -> None:
    """Give both the same tick, received now."""
    received = int(factories.now().timestamp() * 1e6) * 1000
    one = tick(price, number, received_ns=received)
    leader.tick(one)
    standby.tick(one)


def test_a_standby_takes_over_within_half_a_second_and_writes_what_is_pending(
    crowd: list[Position], instrument: Instrument
) -> None:
    first, second = started(instrument), started(instrument)
    zombie = Zombie()
    with zombie.leading() as epoch, second.running("leadership", "emitter", "levels"):
        first.leadership.epoch = epoch
        first.leadership.leads.set()
        fed(first, second, "94", 1)  # the leader sees it too, but dies before it writes
        assert not second.emitter.settle(0.3)
        assert Exit.objects.count() == 0
        end_leader()
        took = wait_until(second.leadership.leads.is_set)
        assert took < HALF_A_SECOND + SLOW
        assert second.leadership.epoch == epoch + 1
        assert second.emitter.settle(5)
        assert Exit.objects.filter(epoch=epoch + 1).count() == len(crowd)
        # The former leader wakes up and writes what it saw: it is refused, and knows that it is one no more.
        with first.running("emitter"):
            wait_until(first.leadership.usurped.is_set)
        assert Exit.objects.count() == len(crowd)
    assert exits.drain(worker="test", limit=100).done == len(crowd)


def test_a_leader_that_hangs_is_ended_and_followed(crowd: list[Position], instrument: Instrument) -> None:
    second = started(instrument)
    with Zombie().leading() as epoch, second.running("leadership"):
        assert not second.leadership.leads.wait(1.0)
        took = wait_until(second.leadership.leads.is_set)
        assert took < 2.5 + SLOW
        assert second.leadership.epoch == epoch + 1
    assert len(crowd) == 40


def test_of_two_listeners_one_leads_and_the_other_follows_at_once_when_it_stops(
    crowd: list[Position], instrument: Instrument
) -> None:
    first, second = started(instrument), started(instrument)
    with second.running("emitter"):
        with first.running("leadership", "emitter"):
            wait_until(first.leadership.leads.is_set)
            thread = threading.Thread(target=second.leadership.run)
            thread.start()
            fed(first, second, "94.5", 1)
            assert first.emitter.settle(5)
            assert not second.leadership.leads.is_set()
        took = wait_until(second.leadership.leads.is_set)
        assert took < HALF_A_SECOND + SLOW
        assert second.emitter.settle(5)
        second.leadership.stop()
        thread.join(10)
    assert Exit.objects.count() == len(crowd)
    assert set(Exit.objects.values_list("epoch", flat=True)) == {1}


def test_whoever_was_followed_ends_and_never_takes_its_follower_with_it(
    account: Account, instrument: Instrument
) -> None:
    """Both listeners ending at once would leave nobody to watch until one of them has started again."""
    factories.opened(account, instrument, stop("95"))
    first, second = started(instrument), started(instrument)
    with second.running("emitter"), Zombie().leading() as epoch:
        first.leadership.epoch = epoch
        with second.running("leadership"):
            end_leader()
            wait_until(second.leadership.leads.is_set)
            with first.running("leadership"):
                wait_until(first.leadership.usurped.is_set)
                for _ in range(5):  # whose turn it is, chance decides: the first one tries ten times a second too
                    before = second.leadership.epoch
                    end_leader()
                    wait_until(lambda before=before: second.leadership.epoch > before)
                fed(first, second, "94", 1)
                assert second.emitter.settle(5)
    assert not second.leadership.usurped.is_set()
    assert Exit.objects.get().epoch == epoch + 6


def test_takeovers_amid_a_falling_market_write_each_exit_once(account: Account, instrument: Instrument) -> None:
    levels = [str(90 + number / 10) for number in range(60)]
    found = [factories.opened(account, instrument, stop(level)) for level in levels]
    parts = [started(instrument), started(instrument)]
    names = ("leadership", "emitter", "levels")
    with parts[0].running(*names), parts[1].running(*names):
        wait_until(lambda: any(one.leadership.leads.is_set() for one in parts))
        for number, level in enumerate(sorted(levels, key=float, reverse=True)):
            fed(*parts, level, number + 1)
            if number % 20 == 10:
                end_leader()
        wait_until(lambda: Exit.objects.count() == len(found))
        while exits.drain(worker="test", limit=100).more:
            pass
    assert Exit.objects.count() == len(found)
    assert Position.objects.filter(status="closed").count() == len(found)
    assert {exit_.trigger_price for exit_ in Exit.objects.all()} == set(map(Decimal, levels))


def test_a_lease_is_renewed_by_its_holder_only(db: None) -> None:
    del db
    epoch = leases.acquire("role", hung_after=timedelta(seconds=2))
    assert epoch == 1
    assert leases.renew("role", 1)
    assert not leases.renew("role", 2)
    assert leases.holds("role", 1)
    assert not leases.holds("role", 0)
    factories.lead(2, "role")
    assert not leases.renew("role", 1)
    leases.release("role")


def test_every_takeover_raises_the_epoch(db: None) -> None:
    del db
    epochs = []
    for _ in range(3):
        epochs.append(leases.acquire("role", hung_after=timedelta(seconds=2)))
        leases.release("role")
    assert epochs == [1, 2, 3]


def test_an_old_epoch_is_refused_where_it_writes(crowd: list[Position]) -> None:
    old = factories.lead(5)
    factories.lead(6)
    with pytest.raises(exits.Fenced, match="later epoch than 5"):
        factories.record([crossing(crowd[0].legs.get(), "94")], old)
