"""From signals to positions: each account opens its lot once, with its own brackets, on the grid."""

from datetime import timedelta
from decimal import Decimal

import pytest

from apps.domain.legs import LegKind
from apps.domain.sides import Side
from apps.market.models import Instrument
from apps.strategies.models import Signal, Strategy
from apps.trading.models import Account, Allocation, Position
from apps.trading.services import accounts, allocations
from tests.strategies.conftest import NOW, quote


@pytest.fixture
def allocation(strategy: Strategy, account: Account) -> Allocation:
    return Allocation.objects.create(
        strategy=strategy,
        account=account,
        notional=Decimal(250),
        max_lots=2,
        entries="level",
        exit_on_signal=False,
        stop_loss=Decimal("0.0015"),
        take_profit=Decimal("0.002"),
        trailing_stop=Decimal("0.01"),
        time_stop=30,
    )


def signal(strategy: Strategy, instrument: Instrument, stance: int, bar: int = 0) -> Signal:
    return Signal.objects.create(
        strategy=strategy,
        instrument=instrument,
        bar_at=NOW + timedelta(seconds=bar),
        stance=stance,
        price=Decimal(100),
        made_at=NOW,
    )


@pytest.mark.parametrize(
    ("stance", "side", "quantity", "stop", "target"),
    # at 100.01 a long is filled at 100.03: it stops at 99.879955 and takes 100.23006, rounded away to the grid of 0.01
    [(1, "long", "2.499", "99.87", "100.24"), (-1, "short", "2.5", "100.14", "99.79")],
)
def test_a_signal_opens_a_lot_with_its_bracket(
    allocation: Allocation, instrument: Instrument, stance: int, side: str, quantity: str, stop: str, target: str
) -> None:
    quote(instrument, "100.01")
    ids = allocations.follow([signal(allocation.strategy, instrument, stance).pk], NOW)
    position = Position.objects.get()
    assert ids == [position.pk]
    assert (position.side, position.quantity, position.account) == (side, Decimal(quantity), allocation.account)
    legs = {leg.kind: leg for leg in position.legs.all()}
    assert legs[LegKind.STOP_LOSS].level == Decimal(stop)
    assert legs[LegKind.TAKE_PROFIT].level == Decimal(target)
    assert (legs[LegKind.TRAILING_STOP].trail, legs[LegKind.TRAILING_STOP].trail_is_rate) == (Decimal("0.01"), True)
    assert legs[LegKind.TIME_STOP].due_at == NOW + timedelta(seconds=30)


def test_a_signal_is_followed_once_however_often_it_comes(allocation: Allocation, instrument: Instrument) -> None:
    quote(instrument, "100")
    key = signal(allocation.strategy, instrument, 1).pk
    assert len(allocations.follow([key], NOW)) == 1
    assert allocations.follow([key], NOW) == []
    assert Position.objects.count() == 1


def test_every_account_that_follows_opens_its_own(allocation: Allocation, instrument: Instrument) -> None:
    second = allocations_of_another_account(allocation)
    quote(instrument, "100")
    allocations.follow([signal(allocation.strategy, instrument, 1).pk], NOW)
    assert set(Position.objects.values_list("account_id", flat=True)) == {allocation.account_id, second.account_id}


def allocations_of_another_account(allocation: Allocation) -> Allocation:
    other = accounts.open_account(owner_id=allocation.account.owner_id, name="2", deposit=Decimal(1000), now=NOW)
    return Allocation.objects.create(
        strategy=allocation.strategy, account=other, notional=Decimal(100), entries="level"
    )


def test_no_more_lots_than_allowed_even_within_one_call(allocation: Allocation, instrument: Instrument) -> None:
    quote(instrument, "100")
    keys = [signal(allocation.strategy, instrument, 1, bar).pk for bar in range(4)]
    assert len(allocations.follow(keys, NOW)) == 2
    assert allocations.follow([signal(allocation.strategy, instrument, -1, 9).pk], NOW) == []
    assert Position.objects.count() == 2


@pytest.mark.parametrize("why", ["flat", "disabled", "no quote", "stale quote", "too little", "no money"])
def test_what_opens_nothing(allocation: Allocation, instrument: Instrument, why: str) -> None:
    if why != "no quote":
        quote(instrument, "100", at=NOW - timedelta(minutes=5 if why == "stale quote" else 0))
    changes = {"disabled": {"enabled": False}, "too little": {"notional": "0.01"}, "no money": {"notional": 50_000}}
    Allocation.objects.filter(pk=allocation.pk).update(**changes.get(why, {}))
    key = signal(allocation.strategy, instrument, 0 if why == "flat" else 1).pk
    assert allocations.follow([key], NOW) == []
    assert not Position.objects.exists()


def test_one_that_is_refused_does_not_hold_up_the_next(allocation: Allocation, instrument: Instrument) -> None:
    second = allocations_of_another_account(allocation)
    Allocation.objects.filter(pk=allocation.pk).update(notional=50_000)
    quote(instrument, "100")
    allocations.follow([signal(allocation.strategy, instrument, 1).pk], NOW)
    assert Position.objects.get().account_id == second.account_id


def test_what_an_allocation_does_not_ask_for_is_not_there() -> None:
    found = allocations.legs(Allocation(stop_loss=Decimal("0.01")), Side.LONG, Decimal(100), Decimal("0.01"), NOW)
    assert [(leg.kind, leg.level) for leg in found] == [(LegKind.STOP_LOSS, Decimal(99))]
