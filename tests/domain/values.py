"""Values that tests of the rules start from: one instrument's grid, plain costs, legs of every kind."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.domain import numbers
from apps.domain.fills import Costs
from apps.domain.legs import Leg, LegKind
from apps.domain.opening import Grid
from apps.domain.settlement import Due, Holding, Market, Terms
from apps.domain.sides import Side

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
FREE = Costs(fee_rate=Decimal(0), slippage_rate=Decimal(0))
GRID = Grid(
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.0001"),
    min_quantity=Decimal("0.001"),
    max_quantity=Decimal(1000),
)


def stop(level: str, **more: Any) -> Leg:
    return Leg(kind=LegKind.STOP_LOSS, level=Decimal(level), **more)


def target(level: str, **more: Any) -> Leg:
    return Leg(kind=LegKind.TAKE_PROFIT, level=Decimal(level), **more)


def trailing(trail: str, *, rate: bool = False, activation: str | None = None, **more: Any) -> Leg:
    wakes = None if activation is None else Decimal(activation)
    return Leg(kind=LegKind.TRAILING_STOP, trail=Decimal(trail), trail_is_rate=rate, activation=wakes, **more)


def break_even(level: str, activation: str, **more: Any) -> Leg:
    return Leg(kind=LegKind.BREAK_EVEN, level=Decimal(level), activation=Decimal(activation), **more)


def time_stop(due_at: datetime | None) -> Leg:
    return Leg(kind=LegKind.TIME_STOP, due_at=due_at)


def holding(side: Side = Side.LONG, quantity: str = "1", entry: str = "100") -> Holding:
    amount, price = Decimal(quantity), Decimal(entry)
    return Holding(side=side, entry_price=price, quantity=amount, remaining=amount, cost=numbers.money(amount * price))


def due(exit_id: int, leg: Leg | None, price: str | None, **more: Any) -> Due:
    """Build a waiting exit of a live leg (or of a person) whose price arrived at NOW, unless told otherwise."""
    values = {
        "reason": leg.kind if leg else "manual",
        "leg_is_live": True,
        "peak": None,
        "tick_at": NOW,
        **more,
    }
    return Due(exit_id=exit_id, leg=leg, price=None if price is None else Decimal(price), **values)


def market(price: str, bid: str | None = None, ask: str | None = None, seconds: float = 0) -> Market:
    """Build the quote in force, received `seconds` after NOW."""
    best = [None if text is None else Decimal(text) for text in (bid, ask)]
    return Market(price=Decimal(price), bid=best[0], ask=best[1], received_at=NOW + timedelta(seconds=seconds))


def terms(*, costs: Costs = FREE, lot: str = "0.01", tick: str = "0.01", late_after: float = 5, at: float = 0) -> Terms:
    """Build the terms of a settlement that happens `at` seconds after NOW."""
    before = NOW + timedelta(seconds=at - late_after)
    return Terms(tick_size=Decimal(tick), lot_size=Decimal(lot), costs=costs, late_before=before)
