"""Turning signals into positions: each account that follows a strategy opens a lot with its own brackets."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from apps.domain import numbers
from apps.domain.errors import Refused, Unavailable
from apps.domain.legs import Leg, LegKind
from apps.domain.sides import Side
from apps.domain.states import PositionStatus
from apps.market import selectors as market
from apps.market.models import Instrument, Quote
from apps.strategies.models import Signal
from apps.trading.models import Allocation, Position
from apps.trading.services import positions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lots:
    """How many lots each account holds of an instrument for a strategy."""

    held: Counter[tuple[int, int, int]]

    def free(self, allocation: Allocation, signal: Signal) -> bool:
        return self.held[(allocation.account_id, signal.strategy_id, signal.instrument_id)] < allocation.max_lots

    def add(self, allocation: Allocation, signal: Signal) -> None:
        self.held[(allocation.account_id, signal.strategy_id, signal.instrument_id)] += 1


def follow(signal_ids: Sequence[int], now: datetime) -> list[int]:
    """Open what every enabled allocation wants on these signals and return the ids of the new positions.

    A signal opens one position per account however often it comes. One that cannot be opened (no fresh price, no
    money, a bracket the market has overtaken) is logged and left out. A stance of 0, and one against a lot that is
    held, opens nothing and closes nothing: lots are left by their own legs.
    """
    signals = Signal.objects.filter(pk__in=signal_ids).exclude(stance=0).select_related("instrument").order_by("pk")
    wanted = [(signal, allocation) for signal in signals for allocation in _followers(signal)]
    quotes = market.quotes([signal.instrument_id for signal, _ in wanted])
    lots = _lots([signal.strategy_id for signal, _ in wanted])
    opened = []
    for signal, allocation in wanted:
        quote = quotes.get(signal.instrument_id)
        if quote is None or not lots.free(allocation, signal):
            continue
        position_id = _open(signal, allocation, quote, now)
        if position_id is not None:
            lots.add(allocation, signal)
            opened.append(position_id)
    return opened


def legs(allocation: Allocation, side: Side, price: Decimal, tick_size: Decimal, now: datetime) -> tuple[Leg, ...]:
    """Return the ways out an allocation asks for around `price`; levels on the grid, rounded away from the price."""
    found = []
    for kind, rate, sign in (
        (LegKind.STOP_LOSS, allocation.stop_loss, -side.sign),
        (LegKind.TAKE_PROFIT, allocation.take_profit, side.sign),
    ):
        if rate is not None:
            to_grid = numbers.ceil_to if sign > 0 else numbers.floor_to
            found.append(Leg(kind=kind, level=to_grid(price * (1 + sign * rate), tick_size)))
    if allocation.trailing_stop is not None:
        found.append(Leg(kind=LegKind.TRAILING_STOP, trail=allocation.trailing_stop, trail_is_rate=True))
    if allocation.time_stop is not None:
        found.append(Leg(kind=LegKind.TIME_STOP, due_at=now + timedelta(seconds=allocation.time_stop)))
    return tuple(found)


def quantity(notional: Decimal, price: Decimal, instrument: Instrument) -> Decimal:
    """Return how much `notional` buys at `price`, whole lots only; 0 when that is less than an order may be."""
    found = numbers.floor_to(notional / price, instrument.lot_size)
    return found if found >= instrument.min_quantity else Decimal(0)


def _followers(signal: Signal) -> list[Allocation]:
    return list(Allocation.objects.filter(strategy_id=signal.strategy_id, enabled=True))


def _lots(strategy_ids: Sequence[int]) -> _Lots:
    rows = Position.objects.filter(signal__strategy_id__in=set(strategy_ids)).exclude(status=PositionStatus.CLOSED)
    return _Lots(held=Counter(rows.values_list("account_id", "signal__strategy_id", "instrument_id")))


def _open(signal: Signal, allocation: Allocation, quote: Quote, now: datetime) -> int | None:
    side = Side.LONG if signal.stance > 0 else Side.SHORT
    amount = quantity(allocation.notional, quote.price, signal.instrument)
    if not amount:
        logger.warning("%s is too little for one order of %s", allocation.notional, signal.instrument)
        return None
    wish = positions.Opening(
        account_id=allocation.account_id,
        instrument_id=signal.instrument_id,
        side=side,
        quantity=amount,
        legs=legs(allocation, side, quote.price, signal.instrument.tick_size, now),
        actor=f"strategy:{signal.strategy_id}",
        signal_id=signal.pk,
    )
    try:
        opened = positions.open_position(wish, now=now)
    except (Refused, Unavailable) as error:
        logger.info("Signal %s was not followed by account %s: %s", signal.pk, allocation.account_id, error)
        return None
    return opened.position.pk if opened.created else None
