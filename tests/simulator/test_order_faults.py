"""The faults of orders, one by one on the engine and on the wire: each strikes as often as it was told, no more."""

import time
from decimal import Decimal

import pytest
import requests

from apps.simulator import faults
from apps.simulator.exchange import SimExchange
from apps.simulator.orders.book import Rejection, Stage
from apps.simulator.orders.mishaps import NAMES, Mishaps
from tests.simulator.orderdesk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def struck(count, calls, **args):
    mishaps = Mishaps()
    mishaps.add("order_timeout", faults.build("order_timeout", {"count": count, **args}).args)
    return [mishaps.take("order_timeout", call) is not None for call in calls]


def test_a_fault_strikes_as_often_as_counted_and_only_its_call():
    assert struck(2, ["read", "place", "read", "place", "place"]) == [False, True, False, True, False]
    assert struck(1, ["read", "place"], call="any") == [True, False]


def test_a_rate_with_a_seed_is_the_same_luck_every_time():
    lucky = struck(0, ["place"] * 200, rate=0.2, seed=7)
    assert lucky == struck(0, ["place"] * 200, rate=0.2, seed=7)
    assert lucky != struck(0, ["place"] * 200, rate=0.2, seed=8)
    assert 20 < sum(lucky) < 60


def test_every_order_fault_is_in_the_catalogue():
    assert {name for name in faults.CATALOGUE if name.startswith("order_")} == set(NAMES)


def test_a_refused_order_is_refused_once(desk):
    desk.fault("order_reject", reason="INELIGIBLE_PAIR")
    with pytest.raises(Rejection, match="INELIGIBLE_PAIR"):
        desk.place()
    assert desk.place().stage is Stage.FILLED


def test_a_partial_fill_ends_what_cannot_rest_unless_told_otherwise(desk):
    desk.fault("order_partial", percent=30)
    order = desk.place("ends")
    assert (order.stage, order.filled) == (Stage.CANCELLED, Decimal("0.3"))
    desk.fault("order_partial", percent=50, stays=1)
    order = desk.place("stays")
    assert (order.stage, order.filled) == (Stage.OPEN, Decimal("0.5"))
    desk.trade("100")
    assert (order.stage, len(order.fills)) == (Stage.FILLED, 2)


def test_a_pending_order_is_matched_when_its_time_has_come(desk):
    desk.fault("order_pending", seconds=1)
    order = desk.place()
    desk.trade("101")
    assert (order.stage, order.filled) == (Stage.PENDING, Decimal(0))
    desk.wait(1)
    assert (order.stage, order.average) == (Stage.FILLED, Decimal(101))


@pytest.mark.parametrize(
    ("args", "at_once", "in_the_end", "filled"),
    [
        ({}, Stage.CANCEL_QUEUED, Stage.FILLED, "1"),
        ({"percent": 40}, Stage.CANCEL_QUEUED, Stage.CANCELLED, "0.4"),
        ({"final": 1}, Stage.CANCELLED, Stage.FILLED, "1"),
        ({"final": 1, "percent": 40}, Stage.CANCELLED, Stage.CANCELLED, "0.4"),
    ],
)
def test_a_late_fill_comes_after_the_cancel_was_confirmed(desk, args, at_once, in_the_end, filled):
    order = desk.limit("90")
    desk.fault("order_late_fill", seconds=1, **args)
    desk.engine.cancel(order, desk.now)
    desk.wait(0.9)
    assert (order.stage, order.filled) == (at_once, Decimal(0))
    desk.wait(0.1)
    assert (order.stage, order.filled) == (in_the_end, Decimal(filled))
    assert desk.engine.book.live == {}


def test_duplicated_fills_are_listed_twice_once(desk):
    desk.place()
    desk.fault("order_duplicate")
    assert [len(desk.engine.fills(desk.account, desk.now)) for _ in range(2)] == [2, 1]


def test_a_lost_order_is_hidden_from_every_question_for_its_time(desk):
    desk.fault("order_lost", seconds=2)
    order = desk.place()
    engine, account = desk.engine, desk.account
    asked = lambda: [  # noqa: E731 - three questions asked twice
        engine.find(account, order.id, desk.now), engine.find_by_client(account, "one", desk.now),
        *engine.orders(account, desk.now), *engine.fills(account, desk.now),
    ]  # fmt: skip
    assert asked() == [None, None]
    assert desk.place() is order
    desk.wait(2)
    assert asked() == [order, order, order, *order.fills]


class TestOnTheWire:
    """What a client sees of the faults that concern its answer."""

    TIME = "/api/v3/brokerage/time"

    @pytest.fixture
    def exchange(self):
        with SimExchange(products="BTC-USD", rate=None) as running:
            yield running

    def ask(self, exchange, **more):
        return requests.get(exchange.rest_url + self.TIME, timeout=more.get("timeout", 5))

    def test_a_limit_says_when_to_come_again(self, exchange):
        exchange.fault("order_limit:retry_after=7")
        answer = self.ask(exchange)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
        assert self.ask(exchange).status_code == 200

    def test_a_burst_of_errors_ends(self, exchange):
        exchange.fault("order_status:502,count=2,call=read")
        assert [self.ask(exchange).status_code for _ in range(3)] == [502, 502, 200]

    def test_a_silence_and_a_reset_leave_no_answer(self, exchange):
        exchange.fault("order_timeout:call=read")
        with pytest.raises(requests.ReadTimeout):
            self.ask(exchange, timeout=0.2)
        exchange.fault("order_reset:call=read")
        with pytest.raises(requests.ConnectionError):
            self.ask(exchange)

    def test_a_slow_answer_comes_and_the_connection_goes_on(self, exchange):
        exchange.fault("order_slow:seconds=0.3")
        with requests.Session() as session:
            began = time.monotonic()
            assert session.get(exchange.rest_url + self.TIME, timeout=5).status_code == 200
            assert time.monotonic() - began >= 0.3
            assert session.get(exchange.rest_url + self.TIME, timeout=5).status_code == 200

    def test_clear_takes_back_what_has_not_struck(self, exchange):
        exchange.fault("order_status:500,count=5,call=read")
        assert len(requests.get(f"{exchange.rest_url}/_sim/faults", timeout=5).json()["waiting"]) == 1
        exchange.fault("clear")
        assert self.ask(exchange).status_code == 200
