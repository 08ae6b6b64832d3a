"""What happens when a position is left: which exits count, how much each takes, and what it does to the books."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from apps.domain import fills, numbers
from apps.domain.legs import PRIORITY, Leg, triggers
from apps.domain.sides import Side


@dataclass(slots=True, kw_only=True)
class Holding:
    """What is still held of a position: quantity in base units, cost in quote currency. Changed by `settle`."""

    side: Side
    entry_price: Decimal
    quantity: Decimal  # what was opened
    remaining: Decimal
    cost: Decimal  # of what remains, at entry price


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An exit waiting to be executed; without a leg it leaves everything, without a price it leaves at the market."""

    exit_id: int
    reason: str
    leg: Leg | None
    leg_is_live: bool
    price: Decimal | None
    peak: Decimal | None
    tick_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The quote in force: what a late exit, or one without a price of its own, is filled at."""

    price: Decimal
    bid: Decimal | None
    ask: Decimal | None
    received_at: datetime

    def to_leave(self, side: Side) -> Decimal:
        """Return what the market gives for leaving: a long sells at the bid, a short buys at the ask."""
        best = self.bid if side is Side.LONG else self.ask
        return best if best is not None else self.price


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """One executed exit: what was left, at what price and fee, and the line it writes into the books."""

    exit_id: int
    quantity: Decimal
    price: Decimal
    fee: Decimal
    pnl: Decimal
    late: bool
    line: fills.Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded:
    """An exit that left nothing, and why."""

    exit_id: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a settlement depends on besides the position: steps, costs, and when an exit counts as late."""

    tick_size: Decimal
    lot_size: Decimal
    costs: fills.Costs
    late_before: datetime  # an exit whose price arrived before this is filled at the quote then in force


def settle(holding: Holding, due: Sequence[Due], market: Market | None, terms: Terms) -> list[Left | Superseded]:
    """Execute the exits of one position in the order their prices arrived; on one price the protecting leg is first.

    The caller holds the lock on the position and reads everything after taking it. An exit that needs the market
    while there is none is left out of the answer, to be tried again.
    """
    answers: list[Left | Superseded] = []
    for exit_ in sorted(due, key=lambda item: (item.tick_at, PRIORITY[item.reason], item.exit_id)):
        why = refusal(holding, exit_, held=holding.remaining)
        if why:
            answers.append(Superseded(exit_id=exit_.exit_id, why=why))
        elif left := _leave(holding, exit_, market, terms):
            answers.append(left)
    return answers


def part_of(holding: Holding, fraction: Decimal, lot_size: Decimal) -> Decimal:
    """Return how much a leg leaves: its fraction of what was opened, in whole lots, and no unsellable rest."""
    wanted = min(numbers.floor_to(holding.quantity * fraction, lot_size), holding.remaining)
    return holding.remaining if holding.remaining - wanted < lot_size else max(wanted, lot_size)


def refusal(holding: Holding, exit_: Due, *, held: Decimal) -> str:
    """Say why an exit leaves nothing of a locked position that still holds `held`; empty when it may leave it."""
    if not held:
        return "the position was closed by an earlier exit"
    leg = exit_.leg
    if leg is None:
        return ""
    if not exit_.leg_is_live:
        return "the leg is no longer live"
    if exit_.price is not None and not triggers(leg, holding.side, exit_.price, exit_.peak):
        return "the price did not cross the level of the locked row"
    return ""


def _leave(holding: Holding, exit_: Due, market: Market | None, terms: Terms) -> Left | None:
    price, late = _price(holding.side, exit_, market, terms)
    if price is None:
        return None
    sign = holding.side.sign
    fill = fills.slipped(-sign, price, terms.costs, terms.tick_size)
    quantity = part_of(holding, exit_.leg.fraction if exit_.leg else Decimal(1), terms.lot_size)
    whole = quantity == holding.remaining
    basis = holding.cost if whole else numbers.money(holding.entry_price * quantity)
    proceeds, paid = numbers.money(fill * quantity), fills.fee(fill, quantity, terms.costs)
    holding.remaining -= quantity
    holding.cost -= basis
    return Left(
        exit_id=exit_.exit_id,
        quantity=quantity,
        price=fill,
        fee=paid,
        pnl=fills.gain(sign, basis, proceeds),
        late=late,
        line=fills.closing(sign, basis, proceeds, paid),
    )


def _price(side: Side, exit_: Due, market: Market | None, terms: Terms) -> tuple[Decimal | None, bool]:
    if exit_.price is None:
        return (market.to_leave(side), market.received_at < terms.late_before) if market else (None, False)
    if exit_.tick_at < terms.late_before and market and market.received_at > exit_.tick_at:
        return market.to_leave(side), True
    return exit_.price, False
