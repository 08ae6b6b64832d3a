"""`manage.py verify` sees what must never be true of orders: each invariant has a row here that breaks it."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from apps.journal.models import Event
from apps.market.models import Instrument
from apps.ops import invariants
from apps.trading.models import Account, Exit, Fill, LedgerEntry, Order, Position
from tests.factories import fresh, now, stop
from tests.trading.orders import venue
from tests.trading.orders.venue import claimed, fill, leaving, say

pytestmark = pytest.mark.django_db


def broken(bound: str = invariants.BOUND) -> set[str]:
    return {one.id for one in invariants.check(bound=bound) if one.violations}


def alter(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def lot(account: Account, instrument: Instrument) -> Position:
    """A lot that was entered and left in two parts, and a second one that is open."""
    venue.lot(account, instrument, stop("95"))
    found = venue.lot(account, instrument, stop("95"), quantity="2")
    exit_ = claimed(found)
    say(leaving(exit_, "2"), "cancelled", fill("x", "0.5", "101"))
    say(leaving(exit_, "1.5", attempt=2), "filled", fill("y", "1.5", "102", fee="0.01", asset="BNB"))
    assert fresh(found).status == "closed"
    assert broken() == set()
    return found


def miscount(_: Position) -> None:
    Order.objects.filter(purpose="exit", attempt=1).update(filled=Decimal("0.75"), claimed=1)


def double(_: Position) -> None:
    alter("DROP INDEX order_one_live_per_exit")
    Order.objects.filter(purpose="exit").update(status="accepted", ended_at=None, cancel_asked_at=now())


def work_on(_: Position) -> None:
    Order.objects.filter(purpose="exit", attempt=2).update(status="accepted", ended_at=None)


def overfill_in_silence(lot: Position) -> None:
    Order.objects.filter(position=lot, purpose="entry").update(quantity=1)


def enlarge(lot: Position) -> None:
    Position.objects.filter(pk=lot.pk).update(quantity=3)


def forget(_: Position) -> None:
    Order.objects.filter(purpose="exit", attempt=2).update(
        status="unknown", ended_at=None, look_at=now() - timedelta(minutes=2), cancel_asked_at=now()
    )


def forget_sending(_: Position) -> None:
    Order.objects.filter(purpose="exit", attempt=2).update(
        status="submitting", ended_at=None, sent_at=now() - timedelta(minutes=2), cancel_asked_at=now()
    )


def go_beyond_in_silence(lot: Position) -> None:
    order = Order.objects.get(position=lot, purpose="exit", attempt=2)
    Order.objects.filter(pk=order.pk).update(quantity=4, filled=3, claimed=3)
    other = Fill.objects.filter(position=lot).first()
    Fill.objects.create(
        account=lot.account,
        instrument=lot.instrument,
        position=other.position,
        order=order,
        client_id="z",
        buy=False,
        quantity=Decimal("1.5"),
        price=1,
        fee=0,
        at=now(),
    )


def pay_twice(lot: Position) -> None:
    paid = Fill.objects.get(position=lot, fee_asset="BNB")
    LedgerEntry.objects.create(account=lot.account, currency="ETH", fill=paid, kind="fee", cash=-1, fees=1, at=now())
    alter("SET CONSTRAINTS ALL IMMEDIATE")
    alter("ALTER TABLE trading_ledgerentry DISABLE TRIGGER append_only")
    LedgerEntry.objects.filter(fill=paid, currency="BNB").delete()


def keep_back(_: Position) -> None:
    Order.objects.filter(purpose="exit").update(claimed=5, sent_at=now() - timedelta(minutes=2))


def leave_more(lot: Position) -> None:
    Exit.objects.filter(position=lot).update(quantity=3)


def lose_money(lot: Position) -> None:
    Position.objects.filter(pk=lot.pk).update(realised_pnl=100)


BREAKS: dict[str, tuple[str, Callable[[Position], None]]] = {
    "an order counts more than its fills": ("O1", miscount),
    "two live orders of one exit": ("O2", double),
    "an order of a closed position works on": ("O3", work_on),
    "an order was overfilled in silence": ("O4", overfill_in_silence),
    "an exit went beyond its lot in silence": ("O4", go_beyond_in_silence),
    "a position holds what nobody bought": ("O5", enlarge),
    "nobody asks about an order": ("O6", forget),
    "an order is being sent for ever": ("O6", forget_sending),
    "executions that never come": ("O7", keep_back),
    "an exit left more than its fills": ("I1", leave_more),
    "a profit that the ledger does not know": ("I3", lose_money),
    "a fee in a third asset without its line": ("I3", pay_twice),
}


@pytest.mark.parametrize(("id_", "act"), BREAKS.values(), ids=BREAKS)
def test_what_is_broken_is_seen(lot: Position, id_: str, act: Callable[[Position], None]) -> None:
    act(lot)
    assert id_ in broken()


def test_what_was_told_to_a_person_is_no_violation(lot: Position) -> None:
    order = Order.objects.get(position=lot, purpose="entry")
    overfill_in_silence(lot)
    Event.objects.create(kind="order.questioned", subject=f"order:{order.pk}")
    assert "O4" not in broken()


@pytest.mark.parametrize(("ended", "seen"), [(True, True), (False, False)], ids=["nothing on its way", "on its way"])
def test_a_claimed_exit_waits_only_without_an_order(
    account: Account, instrument: Instrument, ended: bool, seen: bool
) -> None:
    lot = venue.lot(account, instrument, stop("95"))
    exit_ = claimed(lot)
    order = leaving(exit_)
    if ended:
        say(order, "cancelled")
    Exit.objects.update(recorded_at=now() - timedelta(minutes=1))
    Order.objects.exclude(ended_at=None).update(ended_at=now() - timedelta(minutes=1))
    assert ("I7" in broken()) is seen
