"""Executions of orders that leave a position: what they take out of the lot, and when its exit and the lot are done."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from apps.domain import executions, numbers
from apps.domain.executions import Traded
from apps.domain.legs import ExitReason, LegKind
from apps.domain.orders import Execution, Purpose
from apps.domain.sides import Side
from apps.domain.states import ENDED_ORDERS, LIVE_EXITS, ExitStatus, LegStatus, PositionStatus
from apps.journal import services as journal
from apps.trading import bell, locks
from apps.trading.models import Exit, ExitLeg, LevelChange, Order, Position
from apps.trading.services import facts, order_books, order_lots, ordering

SOURCE = "venue"  # the exit of a stop that the venue kept and executed


def book_exit(order: Order, found: Sequence[Execution], *, now: datetime) -> Exit | None:
    """Book executions of a locked exit or protective order against its locked lot; return the exit they belong to.

    What is more than the lot held becomes a lot facing the other way; it is asked to be left at once, unless the venue
    reports more than was ever ordered: then a person decides.
    """
    position = order.position
    if position is None:
        raise ValueError(f"order {order.pk} leaves no position")
    exit_ = order.exit or _exit_of_stop(order, position, found, now)
    took = False
    for execution in found:
        one, at = order_lots.traded(order, execution), order_lots.moment(order, execution, now)
        parts = executions.cut(one, position.remaining)
        if parts.closes is not None and exit_ is not None:
            _take(order, position, exit_, parts.closes, at)
            took = True
        if parts.beyond is not None:
            part = order_books.BEYOND if parts.closes is not None else ""
            _went_beyond(order, parts.beyond, at=at, now=now, part=part)
    if exit_ is not None:
        follow(order, exit_, took=took, now=now)
    return exit_


def _take(order: Order, position: Position, exit_: Exit, one: Traded, at: datetime) -> None:
    """Take one execution out of the lot, in memory; the rows are saved by `follow`."""
    sign = Side(position.side).sign
    left = executions.leave(sign, position.remaining, position.cost, position.entry_price, one)
    order_books.book(order, position, one, left.line, at=at, exit_=exit_)
    position.remaining -= left.quantity
    position.cost -= left.basis
    position.exit_notional = numbers.stored(position.exit_notional + one.price * left.quantity)
    position.fees += one.fee
    position.realised_pnl += left.pnl
    before, price = exit_.quantity or Decimal(0), exit_.fill_price or Decimal(0)
    exit_.quantity = before + left.quantity
    exit_.fill_price = numbers.average(price * before + one.price * left.quantity, exit_.quantity)
    exit_.fee = (exit_.fee or Decimal(0)) + one.fee
    exit_.pnl = (exit_.pnl or Decimal(0)) + left.pnl


def follow(order: Order, exit_: Exit, *, took: bool, now: datetime) -> None:
    """Save what an exit took, and end the exit and its lot where that is so; the order and the lot are locked."""
    position = order.position
    if position is None or position.status == PositionStatus.CLOSED:
        return
    ended = order.status in ENDED_ORDERS
    rest = rest_of(exit_, position)
    if ended and not rest and holds_dust(position) and _alone(order, position):
        _discard(position, now)
    # While an entry order may still enlarge the lot, an exit of everything is not done with less than a lot left.
    left = not position.remaining or (ended and not rest and (_is_part(exit_) or not holds_dust(position)))
    if left and exit_.quantity and exit_.status in LIVE_EXITS:
        _end(exit_, now)
    if not position.remaining:
        _close_rest(order, position, exit_, now)
    if took or not position.remaining:
        _save(position, exit_, now)
        _tell(position, exit_, now)


def holds_dust(position: Position) -> bool:
    """Say whether all that is left of a lot is too little to be sold."""
    return executions.is_dust(position.remaining, position.instrument.lot_size)


def rest_of(exit_: Exit, position: Position) -> Decimal:
    """Return what an exit has still to leave, in whole lots: all that is held unless its leg is for a part.

    A part is what the first order of the exit was for; what the venue's stop has left counts.
    """
    part = None
    if _is_part(exit_):
        orders = Order.objects.filter(exit_id=exit_.pk).order_by("attempt", "pk")
        part = orders.values_list("quantity", flat=True).first()
        if part is None:
            stops = Order.objects.filter(fills__exit_id=exit_.pk).order_by("pk")
            part = stops.values_list("quantity", flat=True).first()
    return executions.rest(
        remaining=position.remaining,
        ordered=part,
        filled=exit_.quantity or Decimal(0),
        lot_size=position.instrument.lot_size,
    )


def _is_part(exit_: Exit) -> bool:
    return exit_.leg is not None and exit_.leg.fraction < 1


def write_off(exit_id: int, *, now: datetime) -> bool:
    """Close the lot of an exit that holds less than can be sold, and take the dust out of the books.

    For whoever finds that nothing can be sent for it; False when there is more than dust, or nothing, or a live order.
    """
    exit_ = Exit.objects.select_related("leg").get(pk=exit_id)
    position = locks.position(exit_.position_id)
    exit_.refresh_from_db()
    if exit_.status not in LIVE_EXITS or not holds_dust(position) or locks.live_orders(position.pk):
        return False
    _discard(position, now)
    if exit_.quantity:
        _end(exit_, now)
    else:
        exit_.status, exit_.note = ExitStatus.SUPERSEDED, "what was held is too little to be sold and was written off"
    _close_rest(None, position, exit_, now)
    _save(position, exit_, now)
    _tell(position, exit_, now)
    return True


# --- the end of an exit and of a lot ---------------------------------------------------------------------------------
def _end(exit_: Exit, now: datetime) -> None:
    exit_.status, exit_.closed_at = ExitStatus.DONE, now
    if exit_.leg_id is not None:
        ExitLeg.objects.filter(pk=exit_.leg_id, status=LegStatus.LIVE).update(status=LegStatus.DONE)


def _close_rest(order: Order | None, position: Position, last: Exit, now: datetime) -> None:
    """End what hangs on a lot that is empty: exits that left a part, legs, and orders, which may still fill."""
    begun = Exit.objects.filter(position=position, status__in=LIVE_EXITS, quantity__isnull=False)
    for exit_ in begun.exclude(pk=last.pk):
        _end(exit_, now)
        exit_.save(update_fields=["status", "closed_at"])
    position.legs.filter(status=LegStatus.LIVE).update(status=LegStatus.CANCELLED)
    others = [one for one in locks.live_orders(position.pk) if order is None or one.pk != order.pk]
    ordering.ask_back(others, now=now, why="its position is closed")


def _save(position: Position, exit_: Exit, now: datetime) -> None:
    exit_.save(update_fields=["status", "note", "quantity", "fill_price", "fee", "pnl", "closed_at"])
    position.status = _status(position)
    position.closed_at = None if position.remaining else now
    position.exit_reason, position.last_exit_id = exit_.reason, exit_.pk
    position.version += 1
    position.save()
    LevelChange.objects.create(position_id=position.pk, shard=position.instrument.shard)


def _status(position: Position) -> PositionStatus:
    """Return where a lot stands: one that is leaving as a whole goes on leaving while an exit of it is claimed."""
    if not position.remaining:
        return PositionStatus.CLOSED
    claimed = Exit.objects.filter(position=position, status=ExitStatus.CLAIMED)
    if position.status == PositionStatus.CLOSING and claimed.exists():
        return PositionStatus.CLOSING
    return PositionStatus.OPEN


def _alone(order: Order, position: Position) -> bool:
    """Say whether no other order of the lot may still fill."""
    live = Order.objects.filter(position=position).exclude(status__in=ENDED_ORDERS).exclude(pk=order.pk)
    return not live.exists()


def _discard(position: Position, now: datetime) -> None:
    """Take what cannot be sold out of the lot and the books, with an event: its cost is a loss."""
    sign = Side(position.side).sign
    line = executions.write_off(sign, position.cost)
    order_books.take_out(position, line, now=now)
    payload = {
        "position": position.pk,
        "account": position.account_id,
        "instrument": position.instrument.symbol,
        "quantity": numbers.plain(position.remaining),
        "cost": numbers.plain(position.cost),
        "lot_size": numbers.plain(position.instrument.lot_size),
    }
    journal.record(
        "position.dust_discarded", f"position:{position.pk}", account_id=position.account_id, payload=payload
    )
    position.realised_pnl -= line.pnl
    position.remaining = position.cost = Decimal(0)


# --- what came beyond ------------------------------------------------------------------------------------------------
def _went_beyond(order: Order, one: Traded, *, at: datetime, now: datetime, part: str) -> None:
    lot = order_lots.beyond(order, one, at=at, now=now, part=part)
    back = order.filled <= order.quantity
    if back:
        note = f"order {order.pk} was filled beyond position {order.position_id}"
        Exit.objects.create(position=lot, reason=ExitReason.RISK, source=SOURCE, note=note, tick_at=now, seen_at=now)
        bell.ring_after_commit()
    ordering.record("order.exceeded", order, lot=lot.pk, beyond=numbers.plain(one.net), leaves=back)


# --- a stop kept at the venue ----------------------------------------------------------------------------------------
def _exit_of_stop(order: Order, position: Position, found: Sequence[Execution], now: datetime) -> Exit | None:
    """Return the exit that the executions of a protective stop belong to, making it with the first of them."""
    if order.purpose != Purpose.PROTECT:
        raise ValueError(f"exit order {order.pk} has no exit")
    rows = Exit.objects.select_related("leg").filter(position=position)
    begun = rows.filter(fills__order=order).order_by("pk").first()
    if begun is not None or not found or not position.remaining:
        return begun
    leg = _leg_of_stop(order, position)
    waiting = rows.filter(leg=leg, status__in=LIVE_EXITS).order_by("pk").first()
    if waiting is not None:
        waiting.status = ExitStatus.CLAIMED
        return waiting
    try:
        with transaction.atomic():
            return Exit.objects.create(
                position=position,
                leg=leg,
                reason=leg.kind if leg else ExitReason.STOP_LOSS,
                status=ExitStatus.CLAIMED,
                source=SOURCE,
                trigger_price=order.stop_price,
                venue_at=found[0].at,
                tick_at=order_lots.moment(order, found[0], now),
                seen_at=now,
            )
    except IntegrityError:  # a listener, who takes no lock, saw the same crossing in this very moment
        exit_ = rows.get(leg=leg, status__in=LIVE_EXITS)
        exit_.status = ExitStatus.CLAIMED
        return exit_


def _leg_of_stop(order: Order, position: Position) -> ExitLeg | None:
    """Return the live leg that a protective stop stands for: the one at its price, else the first that is a stop."""
    legs = position.legs.filter(status=LegStatus.LIVE).exclude(kind__in=(LegKind.TAKE_PROFIT, LegKind.TIME_STOP))
    same = legs.filter(level=order.stop_price, kind=LegKind.STOP_LOSS).first() if order.stop_price else None
    return same or legs.filter(kind=LegKind.STOP_LOSS).first() or legs.first()


# --- events ----------------------------------------------------------------------------------------------------------
def _tell(position: Position, exit_: Exit, now: datetime) -> None:
    kind = "position.reduced" if position.remaining else "position.closed"
    journal.record(
        kind, f"position:{position.pk}", account_id=position.account_id, payload=_payload(position, exit_, now)
    )
    bell.announce_after_commit()


def _payload(position: Position, exit_: Exit, now: datetime) -> dict[str, Any]:
    told = facts.of_position(position)
    del told["legs"]
    return {
        **told,
        "exit_reason": str(exit_.reason),
        "exit_price": facts.text(position.exit_price),
        "exits": [exit_.pk],
        "tick_to_close_ms": _milliseconds(exit_.tick_at, now),
    }


def _milliseconds(since: datetime, until: datetime) -> int:
    """Return whole milliseconds: an answer of a venue is not known more exactly."""
    elapsed = until - since
    return (elapsed.days * 86_400 + elapsed.seconds) * 1000 + elapsed.microseconds // 1000
