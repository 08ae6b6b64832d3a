"""Orders, fills, cancels, time-outs, retries and restarts in any order: what must hold whatever happens.

The services, the database and the journal are the real ones; the venue is a book of the test's own that loses answers,
refuses, is slow, fills in parts, late and while it is asked to cancel. `ORDERS_MACHINE`
says how many stories are told.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck
from hypothesis import settings as stories
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from pytest_django import Settings

from apps.domain.errors import Refused, Unavailable
from apps.domain.legs import ExitReason
from apps.domain.orders import OrderKind
from apps.domain.restrictions import Scope, TradingState
from apps.domain.sides import Side
from apps.domain.states import ENDED_ORDERS, ORDER_MOVES, OrderStatus
from apps.trading.models import Exit, Fill, Order, Position
from apps.trading.services import entering, exits, ordering, protecting, restrictions, sending
from tests import factories
from tests.factories import books_balance, stop, target
from tests.trading.orders import book

STORIES = int(os.environ.get("ORDERS_MACHINE", "20"))
STEPS = int(os.environ.get("ORDERS_MACHINE_STEPS", "30"))
pytestmark = [pytest.mark.django_db, pytest.mark.timeout(120 + 15 * STORIES)]
FAULTS = st.lists(st.sampled_from(["", "busy", "refused", "lost", "dead"]), max_size=3)


class Killed(BaseException):
    """A worker is killed while it talks to the venue: nothing in it may catch this."""


class Orders(RuleBasedStateMachine):
    """One account at one venue."""

    broker = "book"

    @initialize(protect=st.booleans())
    def begin(self, protect: bool) -> None:
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.instrument = factories.make_instrument("BTC-USD")
        self.account = book.make_account(self.broker, **({"protect": True} if protect else {}))
        self.venue = book.BOOKS[self.account.pk]
        self.offset = 0.0
        self.statuses: dict[int, OrderStatus] = {}

    def teardown(self) -> None:
        if hasattr(self, "atomic"):
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)

    def now(self) -> Any:
        return factories.now() + timedelta(seconds=self.offset)

    # --- what people and the market do --------------------------------------------------------------------------
    @rule(buy=st.booleans(), quantity=st.integers(1, 4), how=st.sampled_from(["market", "limit", "due"]))
    def enter(self, buy: bool, quantity: int, how: str) -> None:
        side = Side.LONG if buy else Side.SHORT
        sign = side.sign
        legs = (stop(str(100 - 10 * sign)), target(str(100 + 10 * sign), "0.5"))
        wish = factories.wish(self.account, self.instrument, *legs, quantity=str(quantity), side=side)
        more: dict[str, Any] = {}
        if how != "market":
            more = {"kind": OrderKind.LIMIT, "limit_price": Decimal(100 - sign)}
        if how == "due":
            more["due_at"] = self.now() + timedelta(seconds=5)
        factories.set_quote(self.instrument, "100", at=self.now())
        with suppress(Refused, Unavailable):  # trading is stopped, or the money is used up
            entering.enter(entering.Entry(opening=wish, **more), now=self.now())

    @rule(number=st.integers(0, 99), level=st.sampled_from(["stop_loss", "take_profit", "everything"]))
    def leave(self, number: int, level: str) -> None:
        found = list(Position.objects.exclude(status="closed").order_by("id"))
        if not found:
            return
        position = found[number % len(found)]
        if level == "everything":
            with suppress(exits.AlreadyLeaving):
                exits.request_exit(position_id=position.pk, reason=ExitReason.API, source="test", now=self.now())
        else:
            legs = list(position.legs.filter(kind=level, status="live"))
            factories.record([factories.crossing(leg, str(leg.level)) for leg in legs])

    @rule()
    def drain(self) -> None:
        factories.drain()

    @rule(number=st.integers(0, 99))
    def cancel(self, number: int) -> None:
        self._with_entry(number, lambda order: ordering.cancel(order.pk, now=self.now()))

    @rule(number=st.integers(0, 99), price=st.integers(95, 105), quantity=st.integers(1, 5))
    def amend(self, number: int, price: int, quantity: int) -> None:
        change = ordering.Change(limit_price=Decimal(price), quantity=Decimal(quantity))
        self._with_entry(number, lambda order: ordering.amend(order.pk, change, now=self.now()))

    @rule(state=st.sampled_from([TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED]))
    def restrict(self, state: TradingState) -> None:
        wanted = restrictions.Order(
            state=state, scope=Scope.ACCOUNT, target=self.account.pk, reason="story", actor="test", source="command"
        )
        restrictions.order(wanted, now=self.now())

    # --- what the venue does --------------------------------------------------------------------------------------
    @rule(number=st.integers(0, 99), whole=st.booleans(), late=st.booleans())
    def fill(self, number: int, whole: bool, late: bool) -> None:
        orders = self.venue.orders
        found = [
            key
            for key, kept in orders.items()
            if kept.rest > 0 and (kept.status not in ENDED_ORDERS or (late and kept.status == "cancelled"))
        ]
        if late:
            found = [key for key in found if orders[key].ticket.kind is OrderKind.LIMIT]
        if found:
            key = found[number % len(found)]
            rest = orders[key].rest
            self.venue.fill(key, rest if whole else max((rest / 2).quantize(Decimal("0.0001")), Decimal("0.0001")))

    @rule(faults=FAULTS, at_once=st.booleans(), cancels=st.booleans())
    def behave(self, faults: list[str], at_once: bool, cancels: bool) -> None:
        self.venue.faults = list(faults)
        self.venue.fills_at_once, self.venue.cancels_at_once = at_once, cancels

    @rule()
    def finish_cancels(self) -> None:
        for kept in self.venue.orders.values():
            if kept.status == OrderStatus.CANCELLING:
                kept.status = OrderStatus.CANCELLED

    # --- what workers do --------------------------------------------------------------------------------------------
    @rule(limit=st.sampled_from([1, 3, 20]))
    def send(self, limit: int) -> None:
        sending.send_due("machine", limit, clock=self.now)

    @rule(what=st.sampled_from(["place", "cancel", "find"]))
    def die(self, what: str) -> None:
        """Let a worker be killed in its first call of a kind, before the venue sees it."""

        def kill(name: str) -> None:
            if name == what:
                raise Killed

        self.venue.before = kill
        try:
            sending.send_due("machine", 5, clock=self.now)
        except Killed:
            pass
        finally:
            self.venue.before = None

    @rule()
    def keep(self) -> None:
        protecting.keep(now=self.now())

    @rule(seconds=st.sampled_from([0.3, 1.0, 6.0, 12.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.offset += seconds

    def _with_entry(self, number: int, act: Any) -> None:
        found = list(Order.objects.filter(purpose="entry").exclude(status__in=ENDED_ORDERS).order_by("id"))
        if found:
            with suppress(Refused):
                act(found[number % len(found)])

    # --- what must hold at every instant ------------------------------------------------------------------------------
    @invariant()
    def every_move_was_legal(self) -> None:
        for order in Order.objects.all():
            status, before = OrderStatus(order.status), self.statuses.get(order.pk)
            if before is not None and before != status:
                assert reachable(before, status), (order, before, status)
            self.statuses[order.pk] = status

    @invariant()
    def one_live_exit_per_leg_and_one_live_order_per_exit(self) -> None:
        live = Exit.objects.filter(status__in=("triggered", "claimed"))
        assert all(count == 1 for count in Counter(live.exclude(leg=None).values_list("leg_id", flat=True)).values())
        orders = Order.objects.exclude(exit=None).exclude(status__in=ENDED_ORDERS)
        assert all(count == 1 for count in Counter(orders.values_list("exit_id", flat=True)).values())

    @invariant()
    def filled_quantity_equals_positions(self) -> None:
        if not hasattr(self, "account"):
            return
        signed = sum((f.quantity if f.buy else -f.quantity for f in Fill.objects.all()), Decimal(0))
        held = sum((p.remaining * Side(p.side).sign for p in Position.objects.all()), Decimal(0))
        assert signed == held
        for order in Order.objects.all():
            assert order.filled == sum((f.quantity for f in order.fills.all()), Decimal(0))

    @invariant()
    def books_balance_to_the_cent(self) -> None:
        if hasattr(self, "account"):
            assert books_balance(self.account)

    @invariant()
    def exits_never_sell_more_than_is_held(self) -> None:
        """What live exit orders at the venue may still fill is never more than the lots hold there."""
        if not hasattr(self, "account"):
            return
        for position in Position.objects.exclude(status="closed"):
            live = position.orders.filter(purpose="exit").exclude(status__in=ENDED_ORDERS)
            assert sum((one.quantity - one.filled for one in live), Decimal(0)) <= position.remaining
            ids = set(position.orders.exclude(purpose="entry").values_list("client_id", flat=True))
            there = {key: self.venue.orders[key] for key in ids & set(self.venue.live)}
            kinds = {"protect" if kept.ticket.kind is not OrderKind.MARKET else "exit" for kept in there.values()}
            assert len(kinds) < 2, "a stop and an exit of one lot work at the venue at once"

    @invariant()
    def nothing_was_placed_twice(self) -> None:
        if hasattr(self, "venue"):
            assert len(self.venue.placed) == len(set(self.venue.placed))


class AmendingOrders(Orders):
    broker = "amending"


def reachable(before: OrderStatus, after: OrderStatus) -> bool:
    """Say whether legal moves lead from one status to another: between two looks several may have been made."""
    seen, edge = {before}, [before]
    while edge:
        edge = [to for one in edge for to in ORDER_MOVES[one] if to not in seen]
        seen.update(edge)
    return after in seen


def converge(machine: Orders) -> None:
    """Let the venue behave and time pass: everything must come to rest and agree."""
    machine.venue.faults, machine.venue.fills_at_once, machine.venue.cancels_at_once = [], True, True
    for _ in range(30):
        machine.finish_cancels()
        for key in list(machine.venue.live):
            if machine.venue.orders[key].ticket.kind is OrderKind.MARKET:
                machine.venue.fill(key, machine.venue.orders[key].rest)
        factories.drain()
        sending.send_due("machine", 50, clock=machine.now)
        machine.offset += 12
    held = sum((p.remaining * Side(p.side).sign for p in Position.objects.all()), Decimal(0))
    assert held == machine.venue.net
    for order in Order.objects.all():
        kept = machine.venue.orders.get(order.client_id)
        assert order.filled == (kept.filled if kept else 0)
        assert order.status not in {"new", "submitting", "unknown", "cancelling"}, order
    assert not Exit.objects.filter(status__in=("triggered", "claimed")).exists()


@contextmanager
def converging(machine: type[Orders]) -> Iterator[type[Orders]]:
    class Converging(machine):  # type: ignore[misc, valid-type] # a class that is a parameter
        def teardown(self) -> None:
            try:
                if hasattr(self, "account"):
                    converge(self)
            finally:
                super().teardown()

    yield Converging


@pytest.mark.parametrize("machine", [Orders, AmendingOrders])
def test_whatever_happens_nothing_is_doubled_or_lost(
    machine: type[Orders], monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    book.install(monkeypatch, settings, tmp_path)
    with converging(machine) as told:
        run_state_machine_as_test(
            told,
            settings=stories(
                max_examples=STORIES,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )
