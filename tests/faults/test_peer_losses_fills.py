"""What users of others lost of their fills, or found twice, brought about here: each is booked, and booked once."""

import os
from decimal import Decimal

import pytest
from django.db import connection

from apps.domain.orders import OrderKind
from apps.journal.models import Event
from apps.simulator.exchange import SimExchange
from apps.trading.models import Fill, LedgerEntry, Order, Position
from apps.trading.services import keys, order_books, ordering, reconciling, settling
from tests import factories
from tests.factories import fresh, stop
from tests.faults.orders.desk import BROKEN, Desk, in_child
from tests.flow.worlds import eventually
from tests.trading.racing import race, without_indexes

pytestmark = pytest.mark.django_db(transaction=True)


def begun(desk: Desk) -> Order:
    """Let an eighth of a limit order for 8 fill at the venue at once, at each match; the rest waits out of reach."""
    desk.fault("order_partial:percent=12.5,stays=1")
    order = desk.enter(stop("80"), kind=OrderKind.LIMIT, limit_price=Decimal(101), quantity="8")
    desk.send()
    desk.trade("105")
    return order


def reports(desk: Desk) -> list[tuple[int, object]]:
    """Return what the venue says of every order of ours, as a start without any memory would ask for it."""
    with keys.broker_of(desk.account) as broker:
        return [(order.pk, broker.find(order.client_id)) for order in Order.objects.order_by("pk")]


# --- nautilus#1001: a fill was counted twice --------------------------------------------------------------------------
def tell_twice(desk: Desk) -> Order:
    order = begun(desk)
    desk.fault("order_duplicate:count=6")
    for second in (1, 4, 7):
        desk.send(second)
    race(*[lambda said=said: settling.settle(said[0], said[1], now=factories.now()) for said in reports(desk) * 4])
    return order


def test_a_fill_that_is_told_twice_counts_once_nautilus_1001(desk: Desk) -> None:
    """There: a fill that came by two ways, or twice by one, was counted twice, and the net position was wrong.

    Here: lists with doubles, repeated looks and four workers with the same news book each execution once.
    """
    order = tell_twice(desk)
    assert (fresh(order).filled, Fill.objects.count(), desk.held) == (1, 1, desk.net)
    assert desk.agrees()


def test_it_would_count_twice_without_the_memory_and_the_index(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: nobody remembers which executions were booked, and the table takes them again."""
    monkeypatch.setattr(order_books, "known", lambda order, ids: frozenset())
    with without_indexes("trading_fill_client_id_key"):
        tell_twice(desk)
        assert Fill.objects.count() > 1
        assert desk.held > desk.net == 1


# --- nautilus#3046: fills replayed at a restart -----------------------------------------------------------------------
def test_a_replay_of_everything_changes_nothing_nautilus_3046(desk: Desk) -> None:
    """There: at a restart the venue's history was played again, with trade numbers that were there already.

    Here: what the venue says of every order of a day, settled anew by a process without memory, writes no line.
    """
    position = desk.lot(stop("95"), quantity="2")
    desk.close(position)
    begun(desk)
    desk.settle_all(until=9)
    before = (Fill.objects.count(), LedgerEntry.objects.count(), list(Position.objects.values_list("version", "pk")))
    said = reports(desk)

    def restart() -> None:
        for _ in range(3):
            for key, report in reversed(said):
                settling.settle(key, report, now=factories.now())

    assert in_child(restart) == 0
    after = (Fill.objects.count(), LedgerEntry.objects.count(), list(Position.objects.values_list("version", "pk")))
    assert before == after
    assert desk.agrees()


# --- Lean IB#249: fills lost in a disconnect --------------------------------------------------------------------------
def test_fills_of_a_disconnect_are_found_afterwards_lean_ib_249(desk: Desk) -> None:
    """There: fills that happened while the connection was down were never asked for, and the holdings stayed wrong.

    Here: no fill is pushed to us that could be missed; every order that works is asked about until it has ended.
    """
    order = begun(desk)
    desk.fault("order_status:503,count=0,call=read")
    desk.trade("101")
    desk.trade("100")
    for second in (1, 3, 5, 7):
        desk.send(second)
    assert fresh(order).filled == 1
    desk.fault("clear")
    for second in (10, 13):
        desk.send(second)
    assert fresh(order).filled == desk.held == desk.net == 3
    assert desk.agrees()


def test_an_exit_that_fills_while_the_venue_is_away_is_found_lean_ib_249(desk: Desk) -> None:
    """There: the sale of a lot was among the fills that were lost, and the lot was sold again by hand.

    Here: the venue takes the exit and is gone; when it is back, the lot is closed by the fill it had all along.
    """
    position = desk.lot(stop("95"))
    desk.fault("order_reset:after=1,call=place")
    desk.close(position)
    desk.send()
    venue = desk.exchange
    venue.stop()
    for second in range(1, 60, 5):
        desk.send(second)
    assert fresh(position).status == "closing"
    file = str(venue.config.orders_file)
    with SimExchange(products="BTC-USD=100.00", rate=None, orders_file=file, port=venue.port) as desk.exchange:
        desk.trade("100")
        desk.settle_all(until=90)
        assert (fresh(position).status, desk.net) == ("closed", 0)
        assert position.orders.filter(purpose="exit").count() == 1
        assert desk.agrees()


# --- Lean TradeStation#84: a fill lost while an order was modified ----------------------------------------------------
@pytest.mark.parametrize("answered", [True, False], ids=["the change is answered", "its answer is lost"])
def test_a_fill_during_a_change_is_not_lost_tradestation_84(desk: Desk, answered: bool) -> None:
    """There: a fill that came between asking for a change and its answer was thrown away with the old order.

    Here: the change makes no other order, and fills belong to the order whatever is being changed about it.
    """
    order = begun(desk)
    ordering.amend(order.pk, ordering.Change(limit_price=Decimal(102)), now=factories.now())
    desk.trade("101")  # fills a part at the old price
    if not answered:
        desk.fault("order_timeout:after=1,count=1,call=amend")
    desk.send(1)
    desk.trade("102")  # and another at the new one
    for second in (4, 8, 12, 16):
        desk.send(second)
    assert fresh(order).limit_price == 102
    assert fresh(order).filled == desk.net == desk.held >= 4
    assert Order.objects.count() == 1
    assert desk.agrees()


# --- hummingbot#7294: a failure was told, then the fill came ----------------------------------------------------------
def test_a_fill_after_a_refused_answer_is_booked_hummingbot_7294(desk: Desk) -> None:
    """There: an order counted as failed when its fill came; the fill was dropped, and the order placed once more.

    Here: an order that was held for refused is booked as what the venue says it is, and nothing else is placed.
    """
    order = desk.enter(stop("95"))
    desk.fault("order_timeout:after=1,count=1,call=place")
    desk.send()
    settling.refused(order.pk, "the venue denied it, wrongly", now=factories.now())
    assert fresh(order).status == "rejected"
    for key, report in reports(desk):
        settling.settle(key, report, now=factories.now())
    desk.settle_all(until=30)
    assert (fresh(order).status, desk.net, desk.held) == ("filled", 1, 1)
    assert Order.objects.count() == 1
    assert desk.agrees()


def test_a_fill_after_a_confirmed_cancel_is_booked_freqtrade_3647(desk: Desk) -> None:
    """There: a big order counted as cancelled while the exchange filled it, and nobody watched the position.

    Here: the late fill makes a lot with the stop of its order.
    """
    order = desk.enter(stop("80"), kind=OrderKind.LIMIT, limit_price=Decimal(90))
    desk.send()
    desk.fault("order_late_fill:percent=40,seconds=3")
    ordering.cancel(order.pk, now=factories.now())
    desk.send(1)
    assert fresh(order).status == "cancelling"
    eventually(lambda: desk.send(5) and fresh(order).status == "cancelled", 15)
    assert (fresh(order).filled, desk.net) == (Decimal("0.4"), Decimal("0.4"))
    assert [leg.level for leg in desk.lot_of(order).legs.filter(status="live")] == [80]
    assert desk.agrees()


def test_a_fill_after_a_final_cancel_is_found_by_the_next_comparison_freqtrade_3647(desk: Desk) -> None:
    """There: the exchange said cancelled, for good, and filled the order all the same.

    Here: nobody asks about an order that has ended, but the next comparison asks for all fills, and a second one
    writes nothing.
    """
    order = desk.enter(stop("80"), kind=OrderKind.LIMIT, limit_price=Decimal(90))
    desk.send()
    desk.fault("order_late_fill:percent=40,seconds=0.3,final=1")
    ordering.cancel(order.pk, now=factories.now())
    desk.send(1)
    assert fresh(order).status == "cancelled"
    eventually(lambda: desk.net == Decimal("0.4"), 5)
    assert desk.held == 0
    reconciling.reconcile(desk.account.pk, clock=factories.now)
    assert (fresh(order).filled, desk.held) == (Decimal("0.4"), Decimal("0.4"))
    assert [leg.level for leg in desk.lot_of(order).legs.filter(status="live")] == [80]
    written = Event.objects.filter(subject=f"order:{order.pk}").count(), Fill.objects.count()
    reconciling.reconcile(desk.account.pk, clock=factories.now)
    assert written == (Event.objects.filter(subject=f"order:{order.pk}").count(), Fill.objects.count())
    assert desk.agrees()


# --- QuantDinger#232: a fill booked twice after a worker was started again --------------------------------------------
@pytest.mark.parametrize("purpose", ["entry", "exit"])
def test_a_fill_is_booked_once_whoever_died_after_it_quantdinger_232(desk: Desk, purpose: str) -> None:
    """There: the worker died after it had booked a fill and before it had said so; its successor booked it again.

    Here: the worker dies right behind the commit. Who comes next finds the fill known by the venue's number of it.
    """
    order = desk.enter(stop("95"))
    if purpose == "exit":
        desk.send()
        desk.close(desk.lot_of(order))

    def book_and_die() -> None:
        settle = settling.settle

        def settle_and_die(*args: object, **more: object) -> None:
            settle(*args, **more)  # type: ignore[arg-type] # passed on as it came
            os._exit(BROKEN)

        settling.settle = settle_and_die  # type: ignore[assignment] # in a child that ends with it
        desk.send()

    assert in_child(book_and_die) == BROKEN
    for second in (1, 5, 35, 40):
        desk.send(second)
    for key, report in reports(desk):
        settling.settle(key, report, now=factories.now())
    assert Fill.objects.count() == Order.objects.count()
    assert connection.in_atomic_block is False
    assert desk.agrees()
