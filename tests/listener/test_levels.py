"""How levels reach the listener: all at a start, every change soon after, none lost whatever the order of commits."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from apps.domain.legs import ExitReason, LegKind
from apps.market.models import Instrument
from apps.trading import watches
from apps.trading.models import Account, LevelChange, Position
from apps.trading.services import exits, positions
from tests import factories
from tests.factories import break_even, now, stop, target, time_stop, trailing
from tests.listener.feeding import SYMBOL
from tests.listener.parts import Parts, end_other_connections, wait_until
from tests.trading.racing import race

pytestmark = pytest.mark.django_db(transaction=True)


def watched(parts: Parts) -> set[int]:
    """Return the live legs that the book watches."""
    book = parts.watcher.tapes[SYMBOL].book
    rows = Position.objects.values_list("legs", flat=True)
    return {leg for leg in rows if leg is not None and leg in book}


def legs_of(*found: Position) -> set[int]:
    return {leg.pk for one in found for leg in one.legs.filter(status="live").exclude(kind="time_stop")}


@contextmanager
def uncommitted(account: Account, instrument: Instrument) -> Iterator[list[Position]]:
    """Open a position in a transaction of another connection that ends only with this context."""
    inside, leave, found = threading.Event(), threading.Event(), []

    def run() -> None:
        with transaction.atomic():
            found.append(factories.opened(account, instrument, stop("95")))
            inside.set()
            leave.wait(30)
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert inside.wait(10)
    try:
        yield found
    finally:
        leave.set()
        thread.join(10)


@pytest.fixture
def bob(db: None) -> Account:
    """A second account, for openings of one account wait for each other."""
    return factories.make_account(factories.make_user("bob"))


def test_a_start_reads_every_live_leg(account: Account, instrument: Instrument) -> None:
    at = now()
    kept = factories.opened(account, instrument, stop("95"), target("110"), trailing("2"), break_even("100", "105"))
    timed = factories.opened(account, instrument, time_stop(at.replace(year=at.year + 1)))
    closed = factories.opened(account, instrument, stop("95"))
    factories.cross(closed.legs.all(), "95")
    waiting = factories.opened(account, instrument, stop("95"))
    factories.record([factories.crossing(waiting.legs.get(), "95")])
    parts = Parts(instrument)
    assert parts.levels.start() == 4
    assert watched(parts) == legs_of(kept)
    assert timed.legs.count() == 1


def test_a_shard_reads_its_own_instruments_only(account: Account, instrument: Instrument) -> None:
    other = factories.make_instrument("ETH-USD", shard=1)
    factories.opened(account, other, stop("95"))
    mine = factories.opened(account, instrument, stop("95"))
    parts = Parts(instrument, other)
    assert parts.levels.start() == 1
    factories.opened(account, other, stop("90"))
    parts.levels.poll()
    assert len(parts.watcher.tapes["ETH-USD"].book) == 0
    assert watched(parts) == legs_of(mine)
    assert [row[1] for row in watches.instruments(1)] == ["ETH-USD"]


def test_what_is_switched_off_is_followed_while_it_has_exits(account: Account, instrument: Instrument) -> None:
    other = factories.make_instrument("ETH-USD")
    position = factories.opened(account, instrument, stop("95"))
    Instrument.objects.update(enabled=False)
    assert [row.symbol for row in watches.instruments(0)] == [SYMBOL]
    factories.cross(position.legs.all(), "94")
    assert watches.instruments(0) == []
    assert other.symbol == "ETH-USD"


def test_changes_are_followed(account: Account, instrument: Instrument) -> None:
    parts = Parts(instrument)
    parts.levels.start()
    first, second = (factories.opened(account, instrument, stop("95")) for _ in range(2))
    parts.levels.poll()
    assert watched(parts) == legs_of(first, second)
    positions.amend_levels(position_id=first.pk, legs={LegKind.STOP_LOSS: [stop("90")]}, now=now())
    exits.request_exit(position_id=second.pk, reason=ExitReason.MANUAL, source="admin", now=now())
    factories.drain()
    parts.levels.poll()
    assert watched(parts) == legs_of(first)
    assert parts.watcher.tapes[SYMBOL].book.low == 90.0


def test_a_leg_that_was_not_confirmed_is_watched_again(account: Account, instrument: Instrument) -> None:
    parts = Parts(instrument, epoch=1)
    position = factories.opened(account, instrument, stop("95"))
    parts.levels.start()
    parts.watcher.tapes[SYMBOL].book.cross(94.0)
    assert watched(parts) == set()
    factories.cross(position.legs.all(), "95.01")  # superseded by the locked row
    parts.levels.poll()
    assert watched(parts) == legs_of(position)


def test_a_change_that_becomes_visible_after_a_later_one_is_not_lost(
    account: Account, bob: Account, instrument: Instrument
) -> None:
    parts = Parts(instrument)
    parts.levels.start()
    with uncommitted(account, instrument) as slow:
        fast = factories.opened(bob, instrument, stop("95"))
        for _ in range(3):
            parts.levels.poll()
        assert watched(parts) == legs_of(fast)
    low, high = LevelChange.objects.order_by("id").values_list("position_id", flat=True)
    assert (low, high) == (slow[0].pk, fast.pk)
    parts.levels.poll()
    assert watched(parts) == legs_of(fast, *slow)


def test_a_change_that_was_on_its_way_at_the_start_is_not_lost(
    account: Account, bob: Account, instrument: Instrument
) -> None:
    parts = Parts(instrument)
    with uncommitted(account, instrument) as slow:
        fast = factories.opened(bob, instrument, stop("95"))
        parts.levels.start()
        assert watched(parts) == legs_of(fast)
    parts.levels.poll()
    assert watched(parts) == legs_of(fast, *slow)


def test_many_changes_from_many_hands_all_arrive(account: Account, bob: Account, instrument: Instrument) -> None:
    parts = Parts(instrument)
    parts.levels.start()

    def open_some(owner: Account) -> list[Position]:
        return [factories.opened(owner, instrument, stop("95")) for _ in range(25)]

    with parts.running("levels"):
        found = race(lambda: open_some(account), lambda: open_some(bob))
        wanted = legs_of(*found[0], *found[1])
        assert len(wanted) == 50
        took = wait_until(lambda: watched(parts) == wanted)
    assert took < 2


def test_a_poll_outlives_a_connection_that_is_cut(account: Account, instrument: Instrument) -> None:
    parts = Parts(instrument)
    parts.levels.start()
    with parts.running("levels"):
        for _ in range(3):
            end_other_connections()
            position = factories.opened(account, instrument, stop("95"))
            wait_until(lambda: legs_of(position) <= watched(parts))  # noqa: B023 - called within the round


def test_a_start_amid_openings_never_sees_a_leg_without_its_best_price(
    account: Account, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Legs and watermarks are read one after the other; a position opened between the two must do no harm."""
    factories.opened(account, instrument, trailing("2"))

    class Marks(watches._Marks):
        def __init__(self) -> None:
            super().__init__()
            race(lambda: factories.opened(account, instrument, trailing("3")))

    monkeypatch.setattr(watches, "_Marks", Marks)
    parts = Parts(instrument)
    parts.levels.start()
    monkeypatch.undo()
    parts.levels.poll()
    assert watched(parts) == legs_of(*Position.objects.all())
    assert Position.objects.count() == 2
