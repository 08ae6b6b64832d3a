"""What may be opened: every rule on quantity and exit legs, checked before anything is stored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from apps.domain import numbers
from apps.domain.errors import Problem
from apps.domain.legs import Leg, LegKind, trailing_stop
from apps.domain.sides import Side

MAX_HOLDING = timedelta(days=3660)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What an instrument takes: the steps of price and quantity, and the limits of quantity."""

    tick_size: Decimal
    lot_size: Decimal
    min_quantity: Decimal
    max_quantity: Decimal


def problems(
    side: Side, quantity: Decimal, legs: Sequence[Leg], price: Decimal, grid: Grid, now: datetime
) -> list[Problem]:
    """Return everything wrong with opening `quantity` at about `price` with these legs; empty when it may be opened."""
    found = list(_absurd(quantity, legs))
    if found:
        return found  # no rule below can be asked about what is no number
    found += _quantity(quantity, price, grid)
    for leg in legs:
        found.extend(_leg(leg, side, price, grid, now))
        found.extend(_part(leg, quantity, grid))
    for kind in LegKind:
        if sum((leg.fraction for leg in legs if leg.kind == kind), Decimal(0)) > 1:
            found.append(_problem(kind, "fractions", "together they are more than the position", "let them sum to 1"))
    return found


def leg_problems(leg: Leg, side: Side, price: Decimal, grid: Grid, now: datetime) -> list[Problem]:
    """Return everything wrong with one leg against the present price, for an amendment."""
    return list(_absurd(None, [leg])) or list(_leg(leg, side, price, grid, now))


def _absurd(quantity: Decimal | None, legs: Sequence[Leg]) -> Iterator[Problem]:
    values = [("quantity", quantity)]
    values += [(leg.kind, value) for leg in legs for value in (leg.fraction, leg.level, leg.activation, leg.trail)]
    for field, value in values:
        if value is not None and not (value.is_finite() and abs(value) < numbers.LIMIT):
            rule = f"must be a number less than {numbers.plain(numbers.LIMIT)}"
            yield _problem(field, str(value)[:40], rule, "write it as plain digits like '0.25'")


def _quantity(quantity: Decimal, price: Decimal, grid: Grid) -> Iterator[Problem]:
    value, least, most = (numbers.plain(n) for n in (quantity, grid.min_quantity, grid.max_quantity))
    if not numbers.on_grid(quantity, grid.lot_size):
        step = numbers.plain(grid.lot_size)
        near = numbers.plain(max(numbers.floor_to(quantity, grid.lot_size), grid.min_quantity))
        yield _problem("quantity", value, f"must be a multiple of the lot size {step}", f"use {near} for example")
    if not grid.min_quantity <= quantity <= grid.max_quantity:
        yield _problem("quantity", value, f"must be from {least} to {most}", "choose a quantity within these limits")
    elif quantity * price >= numbers.LIMIT:
        worth = f"must be worth less than {numbers.plain(numbers.LIMIT)} at {numbers.plain(price)}"
        yield _problem("quantity", value, worth, "choose a smaller quantity")


def _leg(leg: Leg, side: Side, price: Decimal, grid: Grid, now: datetime) -> Iterator[Problem]:
    match leg.kind:
        case LegKind.STOP_LOSS:
            yield from _level(leg.kind, leg.level, side, price, grid, against=True)
        case LegKind.TAKE_PROFIT:
            yield from _level(leg.kind, leg.level, side, price, grid, against=False)
        case LegKind.BREAK_EVEN:
            yield from _level(leg.kind, leg.activation, side, price, grid, against=False)
            if leg.activation is not None:
                yield from _level(leg.kind, leg.level, side, leg.activation, grid, against=True)
        case LegKind.TRAILING_STOP:
            yield from _trail(leg, side, price, grid)
        case LegKind.TIME_STOP:
            yield from _due(leg.due_at, now)


def _level(
    kind: str, level: Decimal | None, side: Side, price: Decimal, grid: Grid, *, against: bool
) -> Iterator[Problem]:
    if level is None or level <= 0:
        yield _problem(kind, str(level), "must be a price greater than 0", "give a price")
        return
    shown, beside = numbers.plain(level), numbers.plain(price)
    if not numbers.on_grid(level, grid.tick_size):
        tick, near = numbers.plain(grid.tick_size), numbers.plain(numbers.floor_to(level, grid.tick_size))
        yield _problem(kind, shown, f"must be a multiple of the tick size {tick}", f"use {near} for example")
    if (price - level) * side.sign * (1 if against else -1) <= 0:
        where = "below" if (side is Side.LONG) == against else "above"
        yield _problem(kind, shown, f"must be {where} {beside} for a {side} position", f"move it {where} that price")


def _trail(leg: Leg, side: Side, price: Decimal, grid: Grid) -> Iterator[Problem]:
    if leg.trail is None or leg.trail <= 0:
        yield _problem(leg.kind, str(leg.trail), "must be a distance greater than 0", "use '150' or '1.5%'")
        return
    shown = f"{numbers.plain(leg.trail * 100)}%" if leg.trail_is_rate else numbers.plain(leg.trail)
    if leg.trail_is_rate and leg.trail >= 1:
        yield _problem(leg.kind, shown, "must be less than 100%", "use '1.5%' for example")
    elif not leg.trail_is_rate and not numbers.on_grid(leg.trail, grid.tick_size):
        tick = numbers.plain(grid.tick_size)
        yield _problem(leg.kind, shown, f"must be a multiple of the tick size {tick}", "round the distance")
    elif trailing_stop(leg, side, price) <= 0:
        yield _problem(leg.kind, shown, f"must be less than the price {numbers.plain(price)}", "choose a shorter one")
    if leg.activation is not None:
        yield from _level(leg.kind, leg.activation, side, price, grid, against=False)


def _due(due_at: datetime | None, now: datetime) -> Iterator[Problem]:
    if due_at is None or due_at.tzinfo is None:
        shown = str(due_at)
        yield _problem("time_stop", shown, "must carry a time zone", "write it like 2026-01-31T16:00:00Z")
    elif not now < due_at <= now + MAX_HOLDING:
        yield _problem(
            "time_stop", due_at.isoformat(), "must be in the future, within ten years", "give a later instant"
        )


def _part(leg: Leg, quantity: Decimal, grid: Grid) -> Iterator[Problem]:
    shown = numbers.plain(leg.fraction)
    if not 0 < leg.fraction <= 1:
        yield _problem(leg.kind, shown, "fraction must be above 0 and at most 1", "use '0.5' for half")
    elif leg.fraction < 1 and numbers.floor_to(quantity * leg.fraction, grid.lot_size) == 0:
        lot = numbers.plain(grid.lot_size)
        yield _problem(leg.kind, shown, f"fraction is less than one lot of {lot}", "use a larger fraction or quantity")


def _problem(field: str, value: str, rule: str, remedy: str) -> Problem:
    return Problem(field=str(field), value=value, rule=rule, remedy=remedy)
