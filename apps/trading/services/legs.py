"""Exit legs as rows, and as the plain values an order carries until its lot is there."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from apps.domain import numbers
from apps.domain.legs import Leg, LegKind
from apps.domain.sides import Side
from apps.trading.models import ExitLeg, Position, Watermark


def add(groups: Sequence[tuple[Position, Sequence[Leg], Decimal]], now: datetime) -> dict[int, list[ExitLeg]]:
    """Store legs; one that follows the price starts from the market price, asleep where it has an activation."""
    wanted = [(position, leg, price) for position, legs, price in groups for leg in legs]
    rows = ExitLeg.objects.bulk_create(_row(position, leg, now) for position, leg, _ in wanted)
    Watermark.objects.bulk_create(
        Watermark(leg=row, peak=price if row.activation is None else None)
        for row, (_, _, price) in zip(rows, wanted, strict=True)
        if row.kind in (LegKind.TRAILING_STOP, LegKind.BREAK_EVEN)
    )
    found: dict[int, list[ExitLeg]] = {position.pk: [] for position, _, _ in groups}
    for row in rows:
        found[row.position_id].append(row)
    return found


def _row(position: Position, leg: Leg, now: datetime) -> ExitLeg:
    return ExitLeg(
        position=position,
        instrument_id=position.instrument_id,
        kind=leg.kind,
        rises=(leg.kind == LegKind.TAKE_PROFIT) == (position.side == Side.LONG),
        fraction=leg.fraction,
        level=leg.level,
        activation=leg.activation,
        trail=leg.trail,
        trail_is_rate=leg.trail_is_rate,
        due_at=leg.due_at,
        since=now,
    )


_AMOUNTS = ("level", "activation", "trail", "offset")


def plain(legs: Sequence[Leg]) -> list[dict[str, Any]]:
    """Return legs as JSON values, decimals as text; `of_plain` reads them back."""
    return [_plain(leg) for leg in legs]


def _plain(leg: Leg) -> dict[str, Any]:
    amounts = {name: getattr(leg, name) for name in _AMOUNTS}
    return {
        "kind": str(leg.kind),
        "fraction": numbers.plain(leg.fraction),
        **{name: numbers.plain(amount) for name, amount in amounts.items() if amount is not None},
        **({"trail_is_rate": True} if leg.trail_is_rate else {}),
        **({"due_at": leg.due_at.isoformat()} if leg.due_at is not None else {}),
    }


def of_plain(values: Sequence[Mapping[str, Any]]) -> list[Leg]:
    """Return the legs that `plain` wrote."""
    return [_leg(value) for value in values]


def _leg(value: Mapping[str, Any]) -> Leg:
    due_at = value.get("due_at")
    return Leg(
        kind=LegKind(value["kind"]),
        fraction=Decimal(value["fraction"]),
        **{name: Decimal(value[name]) for name in _AMOUNTS if name in value},
        trail_is_rate=value.get("trail_is_rate", False),
        due_at=None if due_at is None else datetime.fromisoformat(due_at),
    )
