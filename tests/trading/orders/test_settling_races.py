"""Two workers with the same news, a lot that changes hands, and a crash at every statement: once or not at all."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event as Signal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from apps.domain import order_life
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading.models import (
    Account,
    Exit,
    ExitLeg,
    Fill,
    LedgerEntry,
    LevelChange,
    Order,
    Position,
    Watermark,
)
from apps.trading.services import settling
from tests.factories import fresh, leg_of, now, stop, target, trailing
from tests.trading.orders import venue
from tests.trading.orders.venue import claimed, fill, leaving, protecting, report, say, sound
from tests.trading.racing import assert_locked_once_before, captured, race, without_indexes, without_row_locks

RACE = pytest.mark.django_db(transaction=True)
UNIQUE_FILL = "trading_fill_client_id_key"
TABLES = (Order, Position, Exit, ExitLeg, Watermark, Fill, LedgerEntry, LevelChange, Event)


@contextmanager
def slowly_judged(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[None]:
    """Give everybody time to read the same rows before anybody writes."""
    advance = order_life.advance

    def slow(*args: Any) -> Any:
        time.sleep(seconds)
        return advance(*args)

    with monkeypatch.context() as patch:
        patch.setattr(order_life, "advance", slow)
        yield


def settle_often(order: Order, *executions: Any, hands: int = 2) -> list[Any]:
    said = report(order, "filled", *executions)
    return race(*[lambda: settling.settle(order.pk, said, now=now())] * hands)


# --- two workers ------------------------------------------------------------------------------------------------------
@RACE
def test_two_workers_with_the_same_entry_fill_make_one_lot(
    account: Account, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = venue.entry(account, instrument, stop("95"))
    with slowly_judged(monkeypatch, 0.2):
        answers = settle_often(order, fill("a", "1"), hands=4)
    assert sorted(answer.fills for answer in answers) == [0, 0, 0, 1]
    assert (Position.objects.count(), Fill.objects.count(), ExitLeg.objects.count()) == (1, 1, 1)
    assert sound(account)


@RACE
def test_two_lots_of_one_fill_happen_without_the_lock_and_the_index(
    account: Account, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control of the test above."""
    order = venue.entry(account, instrument, stop("95"))
    with without_indexes(UNIQUE_FILL), without_row_locks(monkeypatch), slowly_judged(monkeypatch, 0.3):
        settle_often(order, fill("a", "1"))
        assert (Position.objects.count(), Fill.objects.count()) == (2, 2)


@RACE
def test_without_the_lock_the_unique_fill_still_keeps_a_second_out(
    account: Account, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second line of defence alone: the loser's transaction is refused whole."""
    order = venue.entry(account, instrument, stop("95"))
    with without_row_locks(monkeypatch), slowly_judged(monkeypatch, 0.3):
        answers = settle_often(order, fill("a", "1"))
    assert sum(isinstance(answer, IntegrityError) for answer in answers) == 1
    assert (Position.objects.count(), Fill.objects.count()) == (1, 1)
    assert sound(account)


@RACE
def test_two_workers_with_the_same_exit_fill_leave_once(
    account: Account, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    lot = venue.lot(account, instrument, stop("95"), quantity="2")
    order = leaving(claimed(lot), "2")
    with slowly_judged(monkeypatch, 0.2):
        settle_often(order, fill("x", "1", "94"), fill("y", "1", "94"), hands=3)
    assert fresh(lot).status == "closed"
    assert Fill.objects.filter(order=order).count() == 2
    assert sound(account)


@RACE
def test_two_orders_of_one_lot_settle_at_once_and_neither_is_lost(
    account: Account, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    lot = venue.lot(account, instrument, target("110", "0.5"), stop("95", "0.5"))
    orders = [leaving(claimed(lot, leg), "0.5") for leg in lot.legs.all()]
    said = [report(one, "filled", fill(f"f{one.pk}", "0.5", "99")) for one in orders]
    with slowly_judged(monkeypatch, 0.2):
        answers = race(
            *[lambda r=r, o=o: settling.settle(o.pk, r, now=now()) for r, o in zip(said, orders, strict=True)]
        )
    assert [answer.fills for answer in answers] == [1, 1]
    assert (fresh(lot).status, fresh(lot).realised_pnl) == ("closed", -1)
    assert sound(account)


@RACE
def test_the_first_fill_told_twice_in_parts_finds_the_lot_that_was_made_meanwhile(
    account: Account, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = venue.entry(account, instrument, stop("95"), quantity="2")
    first, second = fill("a", "1"), fill("b", "1", "102")
    said = [report(order, "partially_filled", first), report(order, "filled", first, second)]
    with slowly_judged(monkeypatch, 0.2):
        race(*[lambda r=r: settling.settle(order.pk, r, now=now()) for r in said])
    lot = Position.objects.get()
    assert (lot.quantity, lot.entry_price, fresh(order).status) == (2, 101, "filled")
    assert sound(account)


@RACE
def test_a_listener_that_writes_the_exit_in_the_same_moment_and_the_venue_s_stop_are_one(
    account: Account, instrument: Instrument
) -> None:
    """The listener takes no lock: its row is not visible yet when the stop's fill looks for it."""
    lot = venue.lot(account, instrument, stop("95"))
    leg, order = leg_of(lot, "stop_loss"), protecting(lot, "95")
    said = report(order, "filled", fill("x", "1", "94"))
    written = Signal()

    def listen() -> None:
        with transaction.atomic():
            told = {"reason": "stop_loss", "source": "listener", "tick_at": now(), "seen_at": now()}
            Exit.objects.create(position=lot, leg=leg, **told)
            written.set()
            time.sleep(0.5)

    def settle() -> Any:
        assert written.wait(10)
        return settling.settle(order.pk, said, now=now())

    _, answer = race(listen, settle)
    assert answer.closed
    assert (Exit.objects.get().source, Exit.objects.get().status) == ("listener", "done")
    assert sound(account)


@pytest.mark.django_db
def test_the_lot_is_locked_once_and_before_it_is_changed(account: Account, instrument: Instrument) -> None:
    lot = venue.lot(account, instrument, stop("95"))
    order = leaving(claimed(lot))
    with captured() as statements:
        say(order, "filled", fill("x", "1", "94"))
    assert_locked_once_before(statements, "trading_position")
    locks = [text.split('"')[-2] for text in statements if "FOR NO KEY UPDATE OF" in text]
    assert locks[:2] == ["trading_position", "trading_order"]


# --- a crash at every statement ---------------------------------------------------------------------------------------
class Crash(Exception):
    """The process is gone."""


def crash_at(number: int) -> tuple[list[str], Callable[..., Any]]:
    seen: list[str] = []

    def wrapper(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if not sql.startswith(("ROLLBACK", "SAVEPOINT", "RELEASE")):
            seen.append(sql)
            if len(seen) == number:
                raise Crash(sql)
        return execute(sql, *rest)

    return seen, wrapper


def everything() -> list[list[tuple[Any, ...]]]:
    return [list(model.objects.order_by("pk").values_list()) for model in TABLES]


def first_fill(account: Account, instrument: Instrument) -> tuple[Order, Any]:
    order = venue.entry(account, instrument, stop("95"), trailing("2"))
    return order, report(order, "partially_filled", fill("a", "0.4", fee="0.01", asset="BNB"), fill("b", "0.1"))


def whole_exit(account: Account, instrument: Instrument) -> tuple[Order, Any]:
    lot = venue.lot(account, instrument, stop("95"), target("110"))
    order = leaving(claimed(lot, leg_of(lot, "stop_loss")))
    protecting(lot, "95")
    return order, report(order, "filled", fill("x", "1", "94", fee="0.1"))


def stop_at_venue(account: Account, instrument: Instrument) -> tuple[Order, Any]:
    order = protecting(venue.lot(account, instrument, stop("95")), "95")
    return order, report(order, "filled", fill("x", "1", "94"))


def dust(account: Account, instrument: Instrument) -> tuple[Order, Any]:
    order = leaving(claimed(venue.lot(account, instrument, stop("95"), quantity="1.00005")), "1")
    return order, report(order, "filled", fill("x", "1", "94"))


def beyond(account: Account, instrument: Instrument) -> tuple[Order, Any]:
    order = leaving(claimed(venue.lot(account, instrument, stop("95"))), "2")
    return order, report(order, "filled", fill("x", "2", "94"))


@pytest.mark.django_db
@pytest.mark.parametrize("scene", [first_fill, whole_exit, stop_at_venue, dust, beyond], ids=lambda one: one.__name__)
def test_a_crash_at_any_statement_leaves_all_as_it_was_and_the_next_settles(
    account: Account, instrument: Instrument, scene: Callable[..., tuple[Order, Any]]
) -> None:
    order, said = scene(account, instrument)
    before, number = everything(), 0
    while True:
        number += 1
        seen, wrapper = crash_at(number)
        try:
            with connection.execute_wrapper(wrapper):
                settling.settle(order.pk, said, now=now())
        except Crash:
            assert everything() == before, seen[-1]
            continue
        break
    assert number > 10, "the statements were counted"
    assert everything() != before
    Exit.objects.filter(source="venue", status="triggered").delete()
    assert sound(account)
