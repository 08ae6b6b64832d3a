"""The contract of every broker, over every broker: what the rest of the product relies on."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from apps.domain.errors import Unavailable
from apps.domain.orders import OrderKind, Report, TimeInForce
from apps.domain.states import ENDED_ORDERS, OrderStatus
from apps.trading.brokers.base import Broker, BrokerBusy, BrokerRefused, BrokerUnclear, Rights
from tests.trading.brokers.contract import Fault, World, eventually, having, limit, ticket

WORKS = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)


def found(broker: Broker, client_id: str, venue_id: str = "") -> Report:
    report = broker.find(client_id, venue_id)
    assert report is not None, client_id
    return report


def ended(broker: Broker, client_id: str, status: OrderStatus) -> Report:
    return eventually(lambda: found(broker, client_id), lambda report: report.status is status)


def balanced(report: Report) -> None:
    """Fail unless the fills of a report, each taken once, add up to what it says is filled."""
    once = {execution.id: execution for execution in report.executions}
    assert sum((each.quantity for each in once.values()), Decimal(0)) == report.filled


class TestOrders:
    def test_a_market_order_fills_with_an_execution_that_says_everything(self, world: World) -> None:
        broker = world.broker()
        broker.place(ticket(world, "e1-1"))
        report = ended(broker, "e1-1", OrderStatus.FILLED)
        balanced(report)
        (execution,) = {each.id: each for each in report.executions}.values()
        assert (report.filled, report.buy, report.symbol) == (Decimal(1), True, world.symbol)
        assert abs(execution.price - 100) <= Decimal("0.5")
        assert execution.fee >= 0
        assert execution.fee_asset
        assert execution.at.utcoffset() == timedelta(0)

    def test_a_client_id_used_twice_makes_one_order(self, world: World) -> None:
        broker = world.broker()
        first = broker.place(limit(world, "e2-1", "90.00"))
        second = world.broker().place(limit(world, "e2-1", "90.00"))
        assert first.venue_id == second.venue_id != ""
        assert world.count("e2-1") == 1

    def test_an_order_is_found_by_either_id_and_by_a_new_broker_too(self, world: World) -> None:
        placed = world.broker().place(limit(world, "e3-1", "90.00"))
        broker = world.broker()
        by_client, by_venue = found(broker, "e3-1"), found(broker, "e3-1", placed.venue_id)
        assert by_client.venue_id == by_venue.venue_id == placed.venue_id
        assert by_client.client_id == by_venue.client_id == "e3-1"
        assert by_client.status is OrderStatus.ACCEPTED

    def test_an_order_nobody_placed_is_not_found(self, world: World) -> None:
        assert world.broker().find("e4-1") is None

    def test_a_limit_order_works_until_the_market_comes_to_it(self, world: World) -> None:
        broker = world.broker()
        report = broker.place(limit(world, "e5-1", "95.00", quantity=Decimal("0.5")))
        assert report.status in (OrderStatus.ACCEPTED, OrderStatus.SUBMITTING)
        (working,) = [each for each in broker.working() if each.client_id == "e5-1"]
        assert (working.quantity, working.limit_price) == (Decimal("0.5"), Decimal(95))
        assert (working.buy, working.symbol, working.kind) == (True, world.symbol, OrderKind.LIMIT)
        world.trade("94.00")
        report = ended(broker, "e5-1", OrderStatus.FILLED)
        balanced(report)
        assert all(each.price <= 95 for each in report.executions)
        assert "e5-1" not in {each.client_id for each in broker.working()}

    def test_a_stop_below_the_market_sells_when_the_market_falls_to_it(self, world: World) -> None:
        broker = world.broker()
        kind = OrderKind.STOP if OrderKind.STOP in broker.abilities.kinds else OrderKind.STOP_LIMIT
        if kind not in broker.abilities.kinds:
            assert not broker.abilities.protects
            return
        low = Decimal(80) if kind is OrderKind.STOP_LIMIT else None
        broker.place(ticket(world, "p1-1", buy=False, kind=kind, stop_price=Decimal(90), limit_price=low))
        world.trade("91.00")
        assert found(broker, "p1-1").status in WORKS
        world.trade("89.00")
        world.trade("89.00")
        report = ended(broker, "p1-1", OrderStatus.FILLED)
        assert report.buy is False
        balanced(report)

    def test_what_an_ioc_order_cannot_take_at_once_is_cancelled(self, world: World) -> None:
        broker = world.broker()
        if TimeInForce.IOC not in broker.abilities.tifs:
            return
        broker.place(limit(world, "e6-1", "90.00", tif=TimeInForce.IOC))
        report = eventually(lambda: found(broker, "e6-1"), lambda each: each.status in ENDED_ORDERS)
        assert report.status in (OrderStatus.CANCELLED, OrderStatus.EXPIRED)
        assert report.filled == 0

    def test_an_order_the_venue_cannot_take_is_refused_and_not_there(self, world: World) -> None:
        broker = world.broker()
        with pytest.raises(BrokerRefused):
            broker.place(limit(world, "e7-1", "99.00", quantity=Decimal(1_000_000)))
        assert world.count("e7-1") == 0


class TestCancels:
    def test_a_working_order_is_taken_back_and_a_second_cancel_changes_nothing(self, world: World) -> None:
        broker = world.broker()
        placed = broker.place(limit(world, "c1-1", "90.00"))
        broker.cancel("c1-1", placed.venue_id)
        report = ended(broker, "c1-1", OrderStatus.CANCELLED)
        assert report.filled == 0
        assert broker.cancel("c1-1", placed.venue_id).status is OrderStatus.CANCELLED
        assert broker.working() == []

    def test_an_order_is_cancelled_by_its_client_id_alone(self, world: World) -> None:
        broker = world.broker()
        broker.place(limit(world, "c2-1", "90.00"))
        broker.cancel("c2-1", "")
        ended(broker, "c2-1", OrderStatus.CANCELLED)

    def test_cancelling_what_is_filled_says_that_it_is_filled(self, world: World) -> None:
        broker = world.broker()
        placed = broker.place(ticket(world, "c3-1"))
        ended(broker, "c3-1", OrderStatus.FILLED)
        report = broker.cancel("c3-1", placed.venue_id)
        assert (report.status, report.filled) == (OrderStatus.FILLED, Decimal(1))

    def test_an_order_that_is_not_there_cannot_be_cancelled(self, world: World) -> None:
        with pytest.raises(BrokerRefused):
            world.broker().cancel("c4-1", "")

    def test_an_order_is_amended_in_place_or_the_broker_says_that_it_cannot(self, world: World) -> None:
        broker = world.broker()
        placed = broker.place(limit(world, "c5-1", "90.00"))
        wanted = limit(world, "c5-1", "91.00", quantity=Decimal("0.5"))
        if not broker.abilities.amends:
            with pytest.raises(BrokerRefused):
                broker.amend("c5-1", placed.venue_id, wanted)
            return
        broker.amend("c5-1", placed.venue_id, wanted)
        report = eventually(lambda: found(broker, "c5-1"), lambda each: each.limit_price == 91)
        assert report.quantity == Decimal("0.5")
        assert [each.client_id for each in broker.working()] == ["c5-1"]


class TestTheAccount:
    def test_all_fills_since_an_instant_carry_the_order_and_the_same_ids(self, world: World) -> None:
        broker = world.broker()
        began = broker.clock() - timedelta(seconds=1)
        for client_id in ("a1-1", "a1-2"):
            broker.place(ticket(world, client_id))
        reports = [ended(broker, client_id, OrderStatus.FILLED) for client_id in ("a1-1", "a1-2")]
        names = {each for report in reports for each in (report.client_id, report.venue_id)}
        listed = broker.executions(began)
        assert {owner for owner, _ in listed} <= names
        assert {each.id for _, each in listed} == {each.id for report in reports for each in report.executions}
        assert broker.executions(broker.clock() + timedelta(minutes=1)) == []

    def test_a_buy_moves_the_balances(self, world: World) -> None:
        broker = world.broker()
        before = {each.asset: each.quantity for each in broker.balances()}
        broker.place(ticket(world, "a2-1"))
        ended(broker, "a2-1", OrderStatus.FILLED)
        after = {each.asset: each.quantity for each in broker.balances()}
        assert before[world.quote] - after[world.quote] >= Decimal(99)

    def test_the_clock_is_an_instant_in_utc(self, world: World) -> None:
        clock = world.broker().clock()
        assert clock.utcoffset() == timedelta(0)
        assert abs(clock - datetime.now(UTC)) < timedelta(seconds=30)

    def test_the_rights_of_the_key_are_told_or_unknown(self, world: World) -> None:
        assert isinstance(world.broker().rights(), Rights)

    def test_access_shows_no_secret(self, world: World) -> None:
        shown = repr(world.broker().access)
        assert not any(secret in shown for secret in world.secrets)


class TestFaults:
    @having(Fault.SILENT_AFTER, Fault.BROKEN_AFTER, Fault.GARBLED_AFTER, Fault.RESET_AFTER)
    def test_an_order_whose_answer_is_lost_is_unclear_and_is_there(self, world: World, fault: Fault) -> None:
        broker = world.broker()
        world.fault(fault)
        with pytest.raises(BrokerUnclear) as unclear:
            broker.place(ticket(world, "f1-1"))
        assert not any(secret in str(unclear.value) for secret in world.secrets)
        ended(world.broker(), "f1-1", OrderStatus.FILLED)
        broker.place(ticket(world, "f1-1"))  # what a resend with the same id does
        assert world.count("f1-1") == 1

    @having(Fault.SILENT_BEFORE, Fault.BROKEN_BEFORE)
    def test_an_order_that_never_arrived_is_unclear_too_and_is_not_found(self, world: World, fault: Fault) -> None:
        broker = world.broker()
        world.fault(fault)
        with pytest.raises(BrokerUnclear):
            broker.place(ticket(world, "f2-1"))
        assert world.broker().find("f2-1") is None
        assert world.count("f2-1") == 0

    @having(Fault.LIMITED)
    def test_a_rate_limit_is_busy_and_says_how_long(self, world: World) -> None:
        broker = world.broker()
        world.fault(Fault.LIMITED)
        with pytest.raises(BrokerBusy) as busy:
            broker.place(ticket(world, "f3-1"))
        assert busy.value.after >= 1
        assert world.count("f3-1") == 0

    @having(Fault.AWAY)
    def test_nobody_listening_is_busy_since_nothing_was_sent(self, world: World) -> None:
        broker = world.unreachable()
        with pytest.raises(BrokerBusy):
            broker.place(ticket(world, "f4-1"))

    @having(Fault.READ_BROKEN)
    def test_a_question_without_answer_is_no_answer_and_never_none(self, world: World) -> None:
        broker = world.broker()
        broker.place(limit(world, "f5-1", "90.00"))
        world.fault(Fault.READ_BROKEN)
        with pytest.raises(Unavailable) as failure:
            broker.find("f5-1")
        assert isinstance(failure.value, BrokerBusy | BrokerUnclear)
        assert found(broker, "f5-1").status is OrderStatus.ACCEPTED

    @having(Fault.REFUSED)
    def test_a_refusal_leaves_nothing_behind(self, world: World) -> None:
        broker = world.broker()
        world.fault(Fault.REFUSED)
        with pytest.raises(BrokerRefused):
            broker.place(ticket(world, "f6-1"))
        assert (broker.find("f6-1"), world.count("f6-1")) == (None, 0)

    @having(Fault.PARTIAL)
    def test_a_partial_fill_is_told_and_the_rest_follows(self, world: World) -> None:
        broker = world.broker()
        world.fault(Fault.PARTIAL)
        broker.place(limit(world, "f7-1", "101.00"))
        part = ended(broker, "f7-1", OrderStatus.PARTIALLY_FILLED)
        assert part.filled == Decimal("0.5")
        balanced(part)
        world.trade("100.50")
        whole = ended(broker, "f7-1", OrderStatus.FILLED)
        assert whole.filled == 1
        assert {each.id for each in part.executions} < {each.id for each in whole.executions}
        balanced(whole)

    @having(Fault.LATE_FILL)
    def test_an_order_may_fill_while_its_cancel_is_under_way(self, world: World) -> None:
        broker = world.broker()
        placed = broker.place(limit(world, "f8-1", "90.00"))
        world.fault(Fault.LATE_FILL)
        assert broker.cancel("f8-1", placed.venue_id).status is OrderStatus.CANCELLING
        report = ended(broker, "f8-1", OrderStatus.FILLED)
        assert report.filled == 1
        balanced(report)

    @having(Fault.FILL_AFTER_CANCEL)
    def test_an_order_may_fill_although_it_was_cancelled(self, world: World) -> None:
        broker = world.broker()
        placed = broker.place(limit(world, "f9-1", "90.00"))
        world.fault(Fault.FILL_AFTER_CANCEL)
        assert broker.cancel("f9-1", placed.venue_id).status is OrderStatus.CANCELLED
        assert ended(broker, "f9-1", OrderStatus.FILLED).filled == 1

    @having(Fault.DUPLICATE)
    def test_a_fill_listed_twice_has_one_id(self, world: World) -> None:
        broker = world.broker()
        began = broker.clock() - timedelta(seconds=1)
        broker.place(ticket(world, "f10-1"))
        ended(broker, "f10-1", OrderStatus.FILLED)
        world.fault(Fault.DUPLICATE)
        assert len({each.id for _, each in broker.executions(began)}) == 1

    @having(Fault.LOST)
    def test_an_order_that_is_not_found_yet_was_accepted_all_the_same(self, world: World) -> None:
        broker = world.broker()
        world.fault(Fault.LOST)
        assert broker.place(limit(world, "f11-1", "90.00")).status is OrderStatus.ACCEPTED
        assert broker.find("f11-1") is None
        eventually(lambda: broker.find("f11-1"), lambda report: report is not None)

    @having(Fault.CLOCK)
    def test_a_clock_far_off_is_no_reason_to_fail(self, world: World) -> None:
        world.fault(Fault.CLOCK)
        broker = world.broker()
        broker.place(ticket(world, "f12-1"))
        ended(broker, "f12-1", OrderStatus.FILLED)
        assert broker.executions(broker.clock() - timedelta(minutes=1)) != []
