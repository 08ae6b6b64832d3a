"""Following as a backtest does: open when the stance changes, leave once it no longer agrees, whatever comes twice."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from functools import partial
from threading import Barrier

import pytest
from django.db import connection

from apps.domain.legs import LegKind
from apps.domain.restrictions import Scope, TradingState
from apps.market.models import Instrument
from apps.strategies.models import Signal, Strategy
from apps.trading.models import Account, Allocation, Exit, Position
from apps.trading.services import accounts, allocations, exits, restrictions
from tests.strategies.conftest import NOW, make_strategy, quote
from tests.trading.racing import race


@pytest.fixture
def allocation(strategy: Strategy, account: Account, instrument: Instrument) -> Allocation:
    quote(instrument, "100")
    return Allocation.objects.create(strategy=strategy, account=account, notional=Decimal(250))


def signal(strategy: Strategy, stance: int, bar: int, **more: object) -> Signal:
    return Signal.objects.create(
        strategy=strategy,
        instrument=strategy.instruments.get(),
        bar_at=NOW + timedelta(seconds=10 * bar),
        stance=stance,
        price=Decimal(100),
        made_at=NOW,
        **more,
    )


def follow(allocation: Allocation, stance: int, bar: int, **more: object) -> list[int]:
    return allocations.follow([signal(allocation.strategy, stance, bar, **more).pk], NOW)


def requested() -> Iterator[tuple[int, str, str]]:
    return ((row.position_id, row.reason, row.source) for row in Exit.objects.order_by("pk"))


def left() -> list[int]:
    """Execute what is to be left; return the closed positions."""
    exits.drain(worker="test", limit=100)
    return list(Position.objects.filter(status="closed").order_by("pk").values_list("pk", flat=True))


def test_a_new_allocation_follows_as_a_backtest_does(allocation: Allocation) -> None:
    assert (allocation.entries, allocation.exit_on_signal, allocation.sides) == ("change", True, "both")


def test_the_first_stance_of_all_is_no_change(allocation: Allocation) -> None:
    assert follow(allocation, 1, bar=0) == []


@pytest.mark.parametrize(
    ("stances", "opened"),
    [
        ([0, 1], ["long"]),
        ([0, 1, 1, 1], ["long"]),
        ([-1, 1], ["long"]),
        ([0, -1], ["short"]),
        ([1, 1], []),
        ([1, 0], []),
        ([0, 1, 0, 1], ["long", "long"]),
        ([0, 1, -1, -1], ["long", "short"]),
    ],
)
def test_a_lot_is_opened_when_the_stance_changes(allocation: Allocation, stances: list[int], opened: list[str]) -> None:
    for bar, stance in enumerate(stances):
        follow(allocation, stance, bar)
        left()
    assert list(Position.objects.order_by("pk").values_list("side", flat=True)) == opened


@pytest.mark.parametrize(
    ("stances", "opened"),
    [([-1, 1], ["long"]), ([-1, 0, 1], []), ([0, 1], []), ([-1, 1, 0, 1], ["long"]), ([-1, 1, -1], ["long", "short"])],
)
def test_a_cross_is_an_opposite_stance_and_a_tie_neither_opens_nor_leaves(
    allocation: Allocation, stances: list[int], opened: list[str]
) -> None:
    Allocation.objects.update(entries="cross")
    for bar, stance in enumerate(stances):
        follow(allocation, stance, bar)
        asked = list(requested())
        assert not (stance == 0 and asked)
        left()
    assert list(Position.objects.order_by("pk").values_list("side", flat=True)) == opened


def test_one_that_was_stopped_out_waits_for_the_next_change(allocation: Allocation) -> None:
    follow(allocation, 0, bar=0)
    (first,) = follow(allocation, 1, bar=1)
    exits.request_exit(position_id=first, reason="manual", source="test", now=NOW)
    assert left() == [first]
    assert follow(allocation, 1, bar=2) == []


def test_a_change_of_parameters_or_code_is_no_change_of_mind(allocation: Allocation) -> None:
    follow(allocation, 0, bar=0, parameters={"lookback": 2}, version="a")
    assert follow(allocation, 1, bar=1, parameters={"lookback": 3}, version="a") == []
    assert follow(allocation, -1, bar=2, parameters={"lookback": 3}, version="b") == []
    assert len(follow(allocation, 1, bar=3, parameters={"lookback": 3}, version="b")) == 1


def test_what_was_said_long_ago_is_forgotten_and_a_weekend_is_not_long(allocation: Allocation) -> None:
    follow(allocation, -1, bar=0)
    weekend, fortnight = 3 * 8640, 14 * 8640
    assert len(follow(allocation, 1, bar=weekend)) == 1
    left()
    assert follow(allocation, -1, bar=weekend + fortnight) == []


@pytest.mark.parametrize(("state", "asked"), [(TradingState.HALTED, []), (TradingState.REDUCING, ["signal"])])
def test_where_trading_is_halted_no_strategy_is_followed_and_where_it_is_reducing_it_may_leave(
    allocation: Allocation, state: TradingState, asked: list[str]
) -> None:
    follow(allocation, 0, bar=0)
    follow(allocation, 1, bar=1)
    wanted = restrictions.Order(state=state, scope=Scope.SITE, reason="a test", actor="ann", source="test")
    restrictions.order(wanted, now=NOW)
    assert follow(allocation, -1, bar=2) == []
    assert [reason for _, reason, _ in requested()] == asked


@pytest.mark.parametrize("stance", [0, -1])
def test_a_lot_is_left_once_the_stance_no_longer_agrees(allocation: Allocation, stance: int) -> None:
    follow(allocation, 0, bar=0)
    (first,) = follow(allocation, 1, bar=1)
    follow(allocation, 1, bar=2)
    assert list(requested()) == []
    follow(allocation, stance, bar=3)
    assert list(requested()) == [(first, "signal", "strategy")]
    assert left() == [first]
    closed = Position.objects.get(pk=first)
    assert closed.exit_reason == "signal"
    exit_ = Exit.objects.get()
    assert (exit_.actor, exit_.status) == (f"strategy:{allocation.strategy_id}", "done")
    assert f"{stance:+d}" in exit_.note


def test_the_lot_that_is_being_left_makes_room_for_the_other_side(allocation: Allocation) -> None:
    assert allocation.max_lots == 1
    follow(allocation, 0, bar=0)
    (long,) = follow(allocation, 1, bar=1)
    (short,) = follow(allocation, -1, bar=2)
    assert left() == [long]
    assert Position.objects.get(pk=short).side == "short"


def test_an_exit_that_somebody_else_asked_for_makes_room_as_well(allocation: Allocation) -> None:
    follow(allocation, 0, bar=0)
    (long,) = follow(allocation, 1, bar=1)
    exits.request_exit(position_id=long, reason="manual", source="test", now=NOW)
    assert len(follow(allocation, -1, bar=2)) == 1
    assert [reason for _, reason, _ in requested()] == ["manual"]


def test_signals_that_come_again_leave_and_open_nothing_twice(allocation: Allocation) -> None:
    follow(allocation, 0, bar=0)
    follow(allocation, 1, bar=1)
    again = signal(allocation.strategy, -1, bar=2).pk
    first = allocations.follow([again], NOW)
    assert allocations.follow([again, again], NOW) == []
    left()
    assert allocations.follow([again], NOW) == []
    assert len(first) == 1
    assert len(list(requested())) == 1


def test_a_late_signal_leaves_no_lot_that_a_later_bar_opened(allocation: Allocation) -> None:
    late = signal(allocation.strategy, 0, bar=1).pk
    follow(allocation, -1, bar=2)
    follow(allocation, 1, bar=3)
    assert Position.objects.count() == 2
    assert allocations.follow([late], NOW) == []
    assert [row.side for row in Position.objects.filter(exits__isnull=True)] == ["long"]


def test_lots_of_others_are_left_alone(allocation: Allocation, instrument: Instrument) -> None:
    """Of another strategy, of an account that does not leave on signals, and those a person opened."""
    other = make_strategy("Other", "momentum", {}, [instrument])
    second = accounts.open_account(owner_id=allocation.account.owner_id, name="2", deposit=Decimal(5000), now=NOW)
    Allocation.objects.create(strategy=other, account=allocation.account, notional=Decimal(100))
    Allocation.objects.create(strategy=allocation.strategy, account=second, notional=Decimal(100), exit_on_signal=False)
    for strategy in (allocation.strategy, other):
        signal(strategy, 0, bar=0)
        allocations.follow([signal(strategy, 1, bar=1).pk], NOW)
    assert Position.objects.count() == 3
    follow(allocation, 0, bar=2)
    ((position_id, _, _),) = requested()
    gone = Position.objects.get(pk=position_id)
    assert (gone.account, gone.signal.strategy) == (allocation.account, allocation.strategy)


def test_an_allocation_that_is_switched_off_opens_nothing_and_still_leaves(allocation: Allocation) -> None:
    follow(allocation, 0, bar=0)
    (first,) = follow(allocation, 1, bar=1)
    Allocation.objects.update(enabled=False)
    assert follow(allocation, -1, bar=2) == []
    assert left() == [first]


def test_exits_need_no_quote_to_be_asked_for(allocation: Allocation, instrument: Instrument) -> None:
    follow(allocation, 0, bar=0)
    (first,) = follow(allocation, 1, bar=1)
    instrument.quote.delete()
    follow(allocation, 0, bar=2)
    assert [position_id for position_id, _, _ in requested()] == [first]
    assert left() == []
    quote(instrument, "101")
    assert left() == [first]


@pytest.mark.parametrize(("sides", "opened"), [("long", ["long"]), ("short", ["short"]), ("both", ["short", "long"])])
def test_an_allocation_may_want_one_side_only(allocation: Allocation, sides: str, opened: list[str]) -> None:
    Allocation.objects.update(sides=sides)
    for bar, stance in enumerate((0, -1, 1)):
        follow(allocation, stance, bar)
    assert list(Position.objects.order_by("pk").values_list("side", flat=True)) == opened


def test_many_at_once_leave_a_lot_once(allocation: Allocation) -> None:
    follow(allocation, 0, bar=0)
    follow(allocation, 1, bar=1)
    key = signal(allocation.strategy, 0, bar=2).pk

    def again(_: int) -> None:
        try:
            allocations.follow([key], NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(again, range(12)))
    assert len(list(requested())) == 1


def test_what_the_strategy_plans_replaces_what_the_account_says(allocation: Allocation) -> None:
    Allocation.objects.update(stop_loss=Decimal("0.01"), take_profit=Decimal("0.02"), trailing_stop=Decimal("0.05"))
    follow(allocation, 0, bar=0)
    plan = {"stop_loss": 98.765, "trailing_distance": 1.239}
    (key,) = follow(allocation, 1, bar=1, plan=plan)
    found = {leg.kind: leg for leg in Position.objects.get(pk=key).legs.all()}
    assert found[LegKind.STOP_LOSS].level == Decimal("98.76")  # rounded away from the price
    assert found[LegKind.TAKE_PROFIT].level == Decimal("102.02")  # 100.01 and 2 %, rounded away
    assert (found[LegKind.TRAILING_STOP].trail, found[LegKind.TRAILING_STOP].trail_is_rate) == (Decimal("1.23"), False)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("most", [1, 3])
def test_signals_followed_at_the_same_time_open_no_more_lots_than_allowed(
    allocation: Allocation, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Six at once, each having counted before any of them opened; allowed six, all of them open: the control."""
    Allocation.objects.update(max_lots=most, entries="level")
    signals = [signal(allocation.strategy, 1, bar) for bar in range(6)]
    barrier = Barrier(len(signals))
    count = allocations._lots

    def count_together(strategy_ids: Sequence[int]) -> object:
        found = count(strategy_ids)
        barrier.wait(20)
        return found

    monkeypatch.setattr(allocations, "_lots", count_together)
    race(*(partial(allocations.follow, [row.pk], NOW) for row in signals))
    assert Position.objects.count() == most
    Allocation.objects.update(max_lots=6 + most)
    race(*(partial(allocations.follow, [signal(allocation.strategy, 1, 10 + bar).pk], NOW) for bar in range(6)))
    assert Position.objects.count() == most + 6
