"""Many hands on the same positions: exactly one wins, and each guard has a test that fails without it."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from apps.domain.errors import Refused
from apps.domain.legs import ExitReason, LegKind
from apps.market.models import Instrument
from apps.ops import invariants
from apps.trading import locks
from apps.trading.models import Account, Exit, Fill, Position
from apps.trading.services import booking, cases, exits, positions
from apps.trading.services.exits import AlreadyLeaving
from tests import factories
from tests.factories import crossing, now, record, stop, target
from tests.trading.racing import (
    LOCK,
    assert_locked_once_before,
    captured,
    race,
    without_indexes,
    without_row_locks,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tick_store")]
POSITIONS = 300
# What stands behind the lock: the database itself refuses a second fill, whatever the code does.
UNIQUE_FILLS = (
    "trading_fill_client_id_key",
    "fill_once_per_exit_without_order",
    "ledgerentry_once_per_fill_and_currency",
)


@pytest.fixture
def crossed(account: Account, instrument: Instrument) -> list[Position]:
    """Positions whose stop was crossed and whose exits wait."""
    found = factories.many(account, instrument, POSITIONS, stop("95"))
    record([crossing(leg, "94") for one in found for leg in one.legs.all()])
    return found


def drain_all() -> int:
    """Drain until there is nothing left, the way a worker and the sweeper do."""
    done = 0
    while Exit.objects.filter(status="triggered").exists():
        done += exits.drain(worker="racer", limit=40).done
    return done


@contextmanager
def slowly_decided(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[None]:
    """Give everybody time to read the same rows before anybody writes."""
    decide = cases.decide

    def slow(*args: Any) -> Any:
        answer = decide(*args)
        time.sleep(seconds)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(cases, "decide", slow)
        yield


def broken_invariants() -> list[str]:
    return [finding.id for finding in invariants.check() if finding.violations]


def doubles() -> int:
    """Count the fills that were made more than once."""
    fills = Fill.objects.exclude(exit=None)
    return fills.count() - fills.values("exit_id").distinct().count()


# --- closing --------------------------------------------------------------------------------------------------------
def test_eight_drains_of_the_same_positions_close_each_once(crossed: list[Position]) -> None:
    done = race(*[drain_all] * 8)
    assert sum(done) == POSITIONS
    assert Position.objects.filter(status="closed").count() == POSITIONS
    assert Fill.objects.exclude(exit=None).count() == POSITIONS
    assert broken_invariants() == []
    assert factories.books_balance(crossed[0].account)


def test_closing_twice_happens_without_the_lock(crossed: list[Position], monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of the test above: with the lock and the unique fills off, positions are closed twice."""
    del crossed
    with without_indexes(*UNIQUE_FILLS), without_row_locks(monkeypatch), slowly_decided(monkeypatch, 0.2):
        race(*[lambda: exits.drain(worker="racer", limit=POSITIONS)] * 4)
        assert doubles() > 0
        assert "I1" in broken_invariants()


def test_without_the_lock_the_unique_fill_still_keeps_a_second_close_out(
    crossed: list[Position], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second line of defence alone; the loser's batch is refused whole and nothing of it stays."""
    del crossed
    with without_row_locks(monkeypatch), slowly_decided(monkeypatch, 0.2):
        race(*[lambda: exits.drain(worker="racer", limit=POSITIONS)] * 2)
    assert doubles() == 0


# --- asking ---------------------------------------------------------------------------------------------------------
def request(position: Position) -> Exit:
    return exits.request_exit(position_id=position.pk, reason=ExitReason.API, source="api", now=now())


def test_many_requests_to_close_one_position_make_one_exit(account: Account, instrument: Instrument) -> None:
    position = factories.opened(account, instrument)
    answers = race(*[lambda: request(position)] * 8)
    won = [answer for answer in answers if isinstance(answer, Exit)]
    lost = [answer for answer in answers if isinstance(answer, AlreadyLeaving)]
    assert (len(won), len(lost)) == (1, 7)
    assert {answer.exit_id for answer in lost} == {won[0].pk}
    assert Exit.objects.count() == 1


def test_two_exits_of_one_position_happen_without_lock_and_index(
    account: Account, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    position = factories.opened(account, instrument)
    create = Exit.objects.create

    def slow(**values: Any) -> Exit:
        time.sleep(0.2)
        return create(**values)

    with without_indexes("exit_one_live_without_leg"), without_row_locks(monkeypatch):
        monkeypatch.setattr(Exit.objects, "create", slow)
        answers = race(*[lambda: request(position)] * 4)
        assert sum(isinstance(answer, Exit) for answer in answers) > 1


def test_many_writers_of_one_crossing_write_one_exit(account: Account, instrument: Instrument) -> None:
    legs = [leg for one in factories.many(account, instrument, 50, stop("95")) for leg in one.legs.all()]
    fence = factories.lead()
    seen = [crossing(leg, "94") for leg in legs]
    answers = race(*[lambda: exits.record_crossings(seen, fence=fence, source="listener")] * 6)
    assert sum(len(answer) for answer in answers) == 50
    assert Exit.objects.count() == 50


def test_two_exits_of_one_leg_happen_without_the_index(account: Account, instrument: Instrument) -> None:
    leg = factories.opened(account, instrument, stop("95")).legs.get()
    fence = factories.lead()
    with without_indexes("exit_once_per_leg"):
        for _ in range(2):
            exits.record_crossings([crossing(leg, "94")], fence=fence, source="listener")
        assert Exit.objects.count() == 2


# --- amending -------------------------------------------------------------------------------------------------------
def amend_against_close(position: Position) -> tuple[Any, Any]:
    wanted = {LegKind.STOP_LOSS: [stop("90")], LegKind.TAKE_PROFIT: [target("120")]}
    amended, drained = race(
        lambda: positions.amend_levels(position_id=position.pk, legs=wanted, now=now()),
        lambda: exits.drain(worker="racer", limit=10),
    )
    return amended, drained


def test_an_amendment_against_a_close_leaves_no_live_leg_on_a_closed_position(
    account: Account, instrument: Instrument
) -> None:
    for _ in range(8):
        position = factories.opened(account, instrument, stop("95"), target("110"))
        record([crossing(factories.leg_of(position, "stop_loss"), "94")])
        amended, drained = amend_against_close(position)
        drain_all()
        position = factories.fresh(position)
        live = set(position.legs.filter(status="live").values_list("level", flat=True))
        if isinstance(amended, positions.PositionClosed):
            assert (position.status, live) == ("closed", set())
        else:
            assert (position.status, live) == ("open", {90, 120})
        assert not isinstance(drained, BaseException)
    assert broken_invariants() == []


def test_a_person_and_a_stop_at_once_close_once(account: Account, instrument: Instrument) -> None:
    found = factories.many(account, instrument, 30, stop("95"))
    legs = [leg for one in found for leg in one.legs.all()]
    fence = factories.lead()

    def ask_all() -> None:
        for one in found:
            try:
                request(one)
            except AlreadyLeaving:
                continue

    race(
        ask_all,
        lambda: exits.record_crossings([crossing(leg, "94") for leg in legs], fence=fence, source="listener"),
        drain_all,
        drain_all,
    )
    drain_all()
    assert Position.objects.filter(status="closed").count() == 30
    assert Fill.objects.exclude(exit=None).count() == 30
    assert broken_invariants() == []


# --- spending -------------------------------------------------------------------------------------------------------
def spend(account: Account, instrument: Instrument) -> Callable[[], Any]:
    def run() -> Any:
        try:
            return factories.opened(account, instrument)
        except Refused as refusal:
            return refusal

    return run


def test_money_is_spent_once(instrument: Instrument) -> None:
    account = factories.make_account(deposit="250")
    answers = race(*[spend(account, instrument)] * 8)
    assert sum(isinstance(answer, Position) for answer in answers) == 2
    assert Position.objects.count() == 2


def test_money_is_spent_twice_without_the_lock(instrument: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    account = factories.make_account(deposit="250")
    store = positions._store

    def slow(*args: Any) -> Any:
        time.sleep(0.2)
        return store(*args)

    monkeypatch.setattr(positions, "_store", slow)
    with without_row_locks(monkeypatch):
        answers = race(*[spend(account, instrument)] * 6)
    assert sum(isinstance(answer, Position) for answer in answers) > 2


# --- how the lock is taken ------------------------------------------------------------------------------------------
def test_a_drain_takes_one_ordered_lock_before_it_reads_and_writes(crossed: list[Position]) -> None:
    del crossed
    with captured() as statements:
        exits.drain(worker="test", limit=10)
    order = [text.split()[1] for text in statements if text.startswith("EXECUTE")]
    assert order == ["positions_to_leave", "exits_due", "write_exits"]
    assert re.search(rf"ORDER BY p\.id LIMIT \$\d\s+{LOCK}\s*$", locks._LEAVE._prepare)
    assert not any("FOR UPDATE" in text or "FOR NO KEY UPDATE" in text for text in statements if "PREPARE" not in text)
    assert [text for text in statements if text in ("BEGIN", "COMMIT")] == ["BEGIN", "COMMIT"]


def test_an_amendment_locks_its_position_before_it_writes(account: Account, instrument: Instrument) -> None:
    position = factories.opened(account, instrument, stop("95"))
    with captured() as statements:
        positions.amend_levels(position_id=position.pk, legs={LegKind.STOP_LOSS: [stop("90")]}, now=now())
    assert_locked_once_before(statements, "trading_position")


def test_a_drain_waits_for_nobody(crossed: list[Position]) -> None:
    """What another worker holds is skipped, so one slow worker does not stop the others; later it is found again."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT id FROM trading_position WHERE id = %s FOR UPDATE", [crossed[0].pk])
    try:
        began = time.monotonic()
        (drained,) = race(lambda: exits.drain(worker="other", limit=1000))
        assert time.monotonic() - began < timedelta(seconds=3).total_seconds()
        assert drained.done == POSITIONS - 1
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK")
    assert drain_all() == 1


def test_the_batch_that_is_written_is_the_batch_that_was_locked(crossed: list[Position]) -> None:
    """A second drain in the middle of the first finds none of its positions."""
    write, found = booking.write, []

    def meanwhile(*args: Any, **more: Any) -> int:
        booking.write = write
        found.extend(race(lambda: exits.drain(worker="other", limit=100)))
        return write(*args, **more)

    booking.write = meanwhile
    try:
        first = exits.drain(worker="test", limit=100)
    finally:
        booking.write = write
    assert (first.done, found[0].done) == (100, 100)
    assert Position.objects.filter(status="closed").count() == 200
    assert len(crossed) == POSITIONS
