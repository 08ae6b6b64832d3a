"""What users of others lost on the way out of a position, brought about here: it is left once, and stays left."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from apps.journal.models import Event
from apps.trading.models import Exit, Order, Position, Watermark
from apps.trading.services import claiming, placing, protecting
from tests import factories
from tests.factories import fresh, leg_of, stop, target, trailing
from tests.faults.orders import desk as desks
from tests.faults.orders.desk import Desk, in_child, opened
from tests.flow.worlds import eventually
from tests.trading.racing import race

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def protected(transactional_db: None, settings: Settings, tmp_path: Path) -> Any:
    """A desk whose lots have a stop at the venue."""
    with opened(settings, tmp_path, protect=True) as made:
        yield made


def sold(desk: Desk) -> Decimal:
    """Return what the venue has sold for us, by its own list of fills."""
    sales = [one for one in desk.at_venue() if one["side"] == "sell"]
    return sum((Decimal(one["filled"]) for one in sales), Decimal(0))


# --- freqtrade#13332: an exit was sold twice --------------------------------------------------------------------------
def leave_twice(desk: Desk) -> Position:
    """Cross a stop in the moment a person closes, lose the answers, and let three workers loose on it."""
    position = desk.lot(stop("95"))
    desk.trade("94")
    factories.record([factories.crossing(leg_of(position, "stop_loss"), "94")])
    desk.fault("order_timeout:after=1,count=1,call=place")
    desk.close(position)
    factories.drain()
    race(*[desk.send] * 3)
    desk.settle_all()
    return position


def test_an_exit_is_not_sold_twice_freqtrade_13332(desk: Desk) -> None:
    """There: the exit was sold, the answer lost, and sold again, out of coins that belonged to nobody's trade.

    Here: two reasons to leave at once, a lost answer and three workers sell what the lot holds, and nothing else.
    """
    position = leave_twice(desk)
    assert (sold(desk), desk.net) == (1, 0)
    assert fresh(position).status == "closed"
    assert Exit.objects.filter(position=position, status="done").count() == 1
    assert desk.agrees()


def test_an_exit_would_be_sold_twice_if_it_did_not_count_what_is_on_its_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: two exits of a lot that do not know of each other's orders."""
    monkeypatch.setattr(claiming, "_taken", lambda ids: {})
    monkeypatch.setattr(placing, "_leaving_problem", lambda order: "")
    monkeypatch.setattr(claiming, "_part", lambda holding, item, lot_size: Decimal(1))
    leave_twice(desk)
    assert sold(desk) == 2
    assert desk.net == 0  # the last line of defence: what was sold beyond the lot is bought back at once


# --- freqtrade#12528: a stop came back after its position was closed --------------------------------------------------
def test_a_stop_does_not_come_back_after_its_position_is_closed_freqtrade_12528(protected: Desk) -> None:
    """There: while the exit order filled, the stop at the venue was made anew, and sold what was no longer held.

    Here: the stop is gone before the exit is sent, none is made for a lot that is being left or was left, and a price
    beyond the level sells nothing more.
    """
    desk = protected
    position = desk.lot(stop("95"))
    desk.keep()
    desk.send()
    (kept,) = desk.working()
    assert kept["kind"] == "stop_limit"
    desk.fault("order_timeout:after=1,count=1,call=cancel")  # the stop is gone, but nobody heard of it
    desk.fault("order_pending:seconds=0.3")  # the exit takes its time
    desk.close(position)
    for second in range(0, 90, 2):
        desk.keep(second)
        desk.send(second)
    desk.settle_all()
    eventually(lambda: desk.send(100) and not desk.working(), 5)
    desk.trade("90")
    desk.settle_all()
    assert [one["kind"] for one in desk.at_venue()].count("stop_limit") == 1
    assert (sold(desk), desk.net, desk.working()) == (1, 0, [])
    assert desk.agrees()


def test_stop_and_exit_would_both_sell_if_the_exit_did_not_wait(
    protected: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: the exit goes out while the stop still works there, and the price falls through both."""
    desk = protected
    position = desk.lot(stop("95"))
    desk.keep()
    desk.send()
    monkeypatch.setattr(placing, "_is_blocked", lambda order, now: False)
    monkeypatch.setattr(claiming.ordering, "ask_back", lambda *args, **more: 0)
    monkeypatch.setattr(desks.sending.locks, "_ORDERS_DUE", _without_the_wait(desks.sending.locks._ORDERS_DUE))
    desk.close(position)
    desk.send(1)
    desk.trade("94")
    assert (sold(desk), desk.net) == (2, -1)


def _without_the_wait(text: str) -> str:
    changed = text.replace("o.purpose = 'exit' AND EXISTS", "o.purpose = 'exit' AND NOT EXISTS (SELECT) AND EXISTS")
    assert changed != text
    return changed


# --- freqtrade#11788: 175 replacements of one stop in 14 minutes ------------------------------------------------------
def follow(desk: Desk) -> int:
    """Let a trailing stop rise each second of 14 minutes, and return how often the venue was asked to change it."""
    position = desk.lot(trailing("5"))
    leg = leg_of(position, "trailing_stop")
    for second in range(0, 14 * 60, 4):
        Watermark.objects.filter(leg=leg).update(peak=Decimal(100) + Decimal(second) / 100)
        if desk.keep(second):
            desk.send(second)
    orders = Order.objects.filter(purpose="protect")
    changes = Event.objects.filter(subject__in=[f"order:{one.pk}" for one in orders])
    return orders.count() + changes.filter(kind__in=("order.amended", "order.cancelled")).count()


def test_a_trailing_stop_is_not_replaced_175_times_freqtrade_11788(protected: Desk) -> None:
    """There: a trailing stop at the exchange was cancelled and placed anew some 175 times in 14 minutes.

    Here: one lot's stop changes at most once in 30 seconds, and never is there more than one.
    """
    assert 10 <= follow(protected) <= 14 * 2 + 1
    (kept,) = protected.working()
    levels = Order.objects.get(client_id=kept["client_id"])
    assert levels.stop_price >= Decimal("102")  # it did follow: the last look was at 103.3
    assert protected.agrees()


def test_it_would_be_without_the_pace(protected: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protecting, "PACE", protecting.PACE * 0)
    assert follow(protected) > 175


# --- freqtrade#12984, hummingbot#7503: an exit that fills and is not seen ---------------------------------------------
def test_a_close_that_filled_unseen_is_found_not_tried_again_hummingbot_7503(desk: Desk) -> None:
    """There: the close had filled, the fill was not seen, and after more tries the position counted as failed.

    Here: what the venue hides for a while stays in doubt, is asked about, and is found; nothing is tried meanwhile.
    """
    position = desk.lot(stop("95"))
    desk.fault("order_lost:seconds=1")
    desk.fault("order_timeout:after=1,count=1,call=place")
    desk.close(position)
    desk.send()
    (order,) = position.orders.filter(purpose="exit")
    for second in (1, 2, 4, 8):
        desk.send(second)
        assert fresh(order).status == "unknown"
    eventually(lambda: desk.send(9) and fresh(order).status == "filled", 5)
    assert fresh(position).status == "closed"
    assert (sold(desk), desk.net) == (1, 0)
    assert desk.agrees()


# --- nautilus#4736, hummingbot-api#243: what a restart does to positions ----------------------------------------------
def test_a_warm_restart_neither_flattens_nor_forgets_nautilus_4736(desk: Desk, tmp_path: Path) -> None:
    """There: after a restart the remembered position was flattened in the books while the venue held it; elsewhere
    (hummingbot-api#243) it stayed at the venue without stop or target.

    Here: the sweeper is killed and started twice beside open lots; nothing is sent, nothing changes, and the first
    price beyond the stop is executed.
    """
    lots = [desk.lot(stop("95"), target("110")) for _ in range(3)]
    before = [one["id"] for one in desk.at_venue()]
    for _ in range(2):
        with desks.sweeper(tmp_path) as pid:
            eventually(lambda pid=pid: desks.Pulse.objects.get(pid=pid).facts.get("rounds", 0) >= 2, 10)
    assert [one["id"] for one in desk.at_venue()] == before
    assert {fresh(one).status for one in lots} == {"open"}
    assert (desk.net, desk.held) == (3, 3)
    with desks.sweeper(tmp_path):
        desk.trade("94")
        eventually(lambda: {fresh(one).status for one in lots} == {"closed"}, 15)
    assert (sold(desk), desk.net) == (3, 0)
    assert desk.agrees()


def test_a_worker_killed_while_an_exit_is_sold_leaves_one_sale_quantdinger_232(desk: Desk) -> None:
    """There: a worker that was started again booked the fill of its predecessor a second time.

    Here: the worker is killed with -9 while the venue fills the exit; whoever comes next books that fill, once.
    """
    position = desk.lot(stop("95"))
    desk.fault("order_slow:seconds=5,call=place")
    desk.close(position)
    assert in_child(desk.send, kill_when=lambda: sold(desk) == 1) == -9
    assert fresh(position).status == "closing"
    for _ in range(2):
        desk.settle_all()
    (exit_,) = Exit.objects.filter(position=position)
    assert (exit_.status, exit_.quantity, exit_.fills.count()) == ("done", 1, 1)
    assert (sold(desk), desk.net) == (1, 0)
    assert desk.agrees()
