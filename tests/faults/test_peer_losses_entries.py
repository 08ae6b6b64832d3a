"""What users of others lost on the way into a position, brought about here: one order, one lot, with its stop."""

import contextlib
from collections.abc import Callable, Iterator
from decimal import Decimal

import psycopg2
import pytest
from django.db import Error, connection
from pytest_django import Settings

from apps.domain.orders import OrderKind
from apps.domain.states import OrderStatus
from apps.simulator.exchange import SimExchange
from apps.trading.models import Order, Position
from apps.trading.services import settling, tickets
from tests.conftest import database_url
from tests.factories import fresh, stop
from tests.faults.orders import desk as desks
from tests.faults.orders.desk import Desk, in_child
from tests.flow.worlds import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def rest(desk: Desk, price: str = "90") -> Order:
    """Store a limit order that waits at the venue for the price to fall."""
    return desk.enter(stop("70"), kind=OrderKind.LIMIT, limit_price=Decimal(price))


def bought(desk: Desk) -> int:
    return sum(one["side"] == "buy" for one in desk.at_venue())


# --- freqtrade#7184: accepted by the exchange, the row lost to a locked database --------------------------------------
@contextlib.contextmanager
def fills_locked(settings: Settings) -> Iterator[None]:
    """Let somebody hold the table of fills, and nobody wait for it longer than a moment."""
    with contextlib.closing(psycopg2.connect(database_url())) as holder:
        holder.cursor().execute("LOCK TABLE trading_fill IN ACCESS EXCLUSIVE MODE")
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '300ms'")
        yield
    connection.close()


def test_an_order_is_not_lost_with_its_row_freqtrade_7184(desk: Desk, settings: Settings) -> None:
    """There: the exchange had bought when the database was locked; the trade was never written, nor watched.

    Here: the order is a row before it is sent. The fill cannot be booked, and the position is not silent: as soon as
    the database takes it, the venue is asked by client id, and the lot is there with its stop.
    """
    order = desk.enter(stop("95"))
    with fills_locked(settings), pytest.raises(Error):
        desk.send()
    assert desk.net == 1
    assert (fresh(order).status, Position.objects.count()) == ("submitting", 0)  # known, and known to be in doubt
    for second in (0, 1, 2, 35, 36):
        desk.send(second)
    assert fresh(order).status == "filled"
    assert [leg.level for leg in desk.lot_of(order).legs.all()] == [95]
    assert desk.agrees()


# --- hummingbot#3374: six orders held for dead, and filled ------------------------------------------------------------
def six_answers_reset(desk: Desk) -> list[Order]:
    orders = [rest(desk) for _ in range(6)]
    desk.fault("order_reset:after=1,count=6,call=place")
    for _ in orders:
        desk.send()
    desk.trade("89")  # all six fill, whatever we believe
    return orders


def test_orders_whose_answer_was_lost_are_not_dead_hummingbot_3374(desk: Desk) -> None:
    """There: six buys were written off as failed after network errors, placed anew, and the dead ones were filled.

    Here: an answer that was lost says nothing. All six are in doubt, asked about by name, and six lots stand.
    """
    orders = six_answers_reset(desk)
    assert {fresh(one).status for one in orders} == {"unknown"}
    for second in range(1, 20):
        desk.send(second)
    assert {fresh(one).status for one in orders} == {"filled"}
    assert (bought(desk), desk.net, desk.held) == (6, 6, 6)
    assert desk.agrees()


def test_they_would_be_if_a_network_error_were_a_refusal(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: six coins at the venue that nobody here knows of."""
    monkeypatch.setattr(settling, "unclear", lambda key, why, now, look_at: settling.refused(key, why, now))
    six_answers_reset(desk)
    desk.settle_all()
    assert (desk.net, desk.held) == (6, 0)


# --- hummingbot#8457: accepted orders dropped in an outage ------------------------------------------------------------
def test_working_orders_outlive_an_outage_hummingbot_8457(desk: Desk) -> None:
    """There: while names could not be resolved, six accepted orders were dropped from the books; some filled, and a
    position stood that nobody tracked.

    Here: an outage of five minutes moves no order. Two of them fill meanwhile; afterwards both sides agree.
    """
    orders = [rest(desk, price) for price in ("90", "90", "80", "80", "80", "80")]
    for second in (0, 1):
        desk.send(second)
    assert {fresh(one).status for one in orders} == {"accepted"}
    before = desk.exchange
    before.stop()
    for second in range(5, 300, 10):
        desk.send(second)
    assert {fresh(one).status for one in orders} == {"accepted"}
    with SimExchange(
        products="BTC-USD=100.00", rate=None, orders_file=str(before.config.orders_file), port=before.port
    ) as desk.exchange:
        desk.trade("89")
        for second in (301, 304, 307):
            desk.send(second)
        assert [fresh(one).status for one in orders] == ["filled"] * 2 + ["accepted"] * 4
        assert (desk.net, desk.held) == (2, 2)
        assert desk.agrees()


# --- hummingbot#493 and #601, catalyst#317: ordered again -------------------------------------------------------------
def time_out(desk: Desk) -> Order:
    """Send an order whose answer never comes, and which the venue shows to nobody for a while; then go on and on."""
    order = desk.enter(stop("95"))
    desk.fault("order_lost:seconds=1.5")
    desk.fault("order_timeout:after=1,count=1,call=place")
    for second in (0, 1, 2, 4, 6, 9, 12, 15):
        desk.send(second)
    eventually(lambda: desk.send(18) and fresh(order).status == "filled", 5)
    return order


def test_a_time_out_is_not_ordered_again_catalyst_317(desk: Desk) -> None:
    """There: a read time-out led to "ordering again", and twice the quantity was bought.

    Here: nothing is sent again before a grace, and then under the same name: the venue makes no second order of it.
    """
    order = time_out(desk)
    assert (bought(desk), desk.net) == (1, 1)
    assert fresh(order).attempt == 1
    assert desk.agrees()


def test_it_would_be_ordered_again_under_another_name(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: every sending gets a name of its own, and the question by name finds nothing."""
    names = iter(range(100))
    of_order = tickets.of_order

    def renamed(order: Order, abilities: object) -> object:
        ticket = of_order(order, abilities)  # type: ignore[arg-type] # passed on as it came
        return desks.replaced(ticket, client_id=f"{ticket.client_id}-{next(names)}")

    monkeypatch.setattr(tickets, "of_order", renamed)
    order = desk.enter(stop("95"))
    desk.fault("order_timeout:after=1,count=1,call=place")
    for second in (0, 1, 2, 4, 6, 9, 12, 15):
        desk.send(second)
    assert fresh(order).filled == 1
    assert (bought(desk), desk.net, desk.held) == (2, 2, 1)


def test_an_order_that_never_arrived_is_sent_again_once_hummingbot_493(desk: Desk) -> None:
    """There (#493, #601): orders were repeated because their echo was late, and stood twice in the book.

    Here: one that certainly never arrived goes out again, under its name, after the grace and not before.
    """
    order = rest(desk)
    desk.fault("order_timeout:after=0,count=1,call=place")
    for second in (0, 1, 3, 5):  # far from the grace: the steps themselves take time, too
        desk.send(second)
    assert (fresh(order).status, bought(desk)) == ("unknown", 0)
    for second in (12, 14, 16):
        desk.send(second)
    assert (fresh(order).status, bought(desk)) == ("accepted", 1)
    assert fresh(order).client_id == desk.at_venue()[0]["client_id"]
    assert desk.agrees()


# --- nautilus#3176: orders placed again at every restart --------------------------------------------------------------
@pytest.mark.parametrize("seen_by_venue", [True, False], ids=["it arrived", "it never arrived"])
def test_a_restart_places_nothing_again_nautilus_3176(desk: Desk, seen_by_venue: bool) -> None:
    """There: each restart placed the working orders once more.

    Here: the worker is killed with -9 in the middle of sending, three times over; one order stands in the end.
    """
    order = rest(desk)
    desk.fault(f"order_timeout:after={int(seen_by_venue)},count=1,call=place")
    slow = {"read_timeout": 10.0, "requests_per_second": 1000.0}
    desks.Account.objects.update(broker_options=slow)
    at_venue: Callable[[], bool] = lambda: desk.waiting() == 0 and bought(desk) == seen_by_venue  # noqa: E731
    assert in_child(desk.send, kill_when=at_venue) == -9
    assert fresh(order).status == "submitting"
    desk.fault("order_slow:seconds=3,call=read,count=1")
    assert in_child(lambda: desk.send(31), kill_when=lambda: fresh(order).status == "unknown") == -9
    desk.fault("order_slow:seconds=3,call=read,count=1")
    assert in_child(lambda: desk.send(40), kill_when=lambda: desk.waiting() == 0) == -9
    for second in (40, 43, 46, 60):
        desk.send(second)
    assert (bought(desk), fresh(order).status) == (1, OrderStatus.ACCEPTED)
    assert desk.agrees()
