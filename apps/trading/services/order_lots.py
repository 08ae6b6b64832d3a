"""Lots that executions of entry orders open and enlarge; each is protected by its legs from its first fill on."""

from collections.abc import Sequence
from datetime import datetime

from apps.domain import executions, numbers
from apps.domain.executions import Traded
from apps.domain.legs import Leg, resting
from apps.domain.orders import Execution
from apps.domain.sides import Side
from apps.domain.states import LegStatus, PositionStatus
from apps.journal import services as journal
from apps.strategies.models import Signal
from apps.trading import bell
from apps.trading.models import LevelChange, Order, Position
from apps.trading.services import facts, order_books
from apps.trading.services import legs as leg_rows


def book_entry(order: Order, found: Sequence[Execution], *, now: datetime) -> Position | None:
    """Book executions of a locked entry order into its lot, which is made with the first; return the lot.

    If that lot was closed meanwhile (a fill that came after the cancel), what comes late is a lot of its own.
    """
    made = enlarged = False
    for execution in found:
        one = traded(order, execution)
        at = moment(order, execution, now)
        lot = order.position
        if lot is None or lot.status == PositionStatus.CLOSED:
            order.position = lot = open_lot(order, one, at=at, now=now, protected=True)
            order.save(update_fields=["position"])
            made, enlarged = True, False
        else:
            _enlarge(lot, one)
            enlarged = True
        order_books.book(order, lot, one, order_books.open_line(Side(lot.side), one), at=at)
    if order.position is not None and found:
        _tell(order, order.position, made=made, enlarged=enlarged)
    return order.position


def traded(order: Order, execution: Execution) -> Traded:
    """Return an execution in the terms of the order's instrument."""
    instrument = order.instrument
    return executions.traded(execution, buy=order.buy, base=instrument.base_currency, quote=instrument.quote_currency)


def moment(order: Order, execution: Execution, now: datetime) -> datetime:
    """Return when an execution happened by our clock: not before its order was sent, not after now."""
    return max(min(execution.at, now), min(order.sent_at or order.created_at, now))


def open_lot(order: Order, one: Traded, *, at: datetime, now: datetime, protected: bool) -> Position:
    """Make a lot of one execution: on the order's side, with its legs and what it was entered for where `protected`.

    Its legs count from the execution on: a price that crossed a stop before we heard of the fill is not forgotten.
    """
    side = Side.LONG if order.buy else Side.SHORT
    lot = Position.objects.create(
        account_id=order.account_id,
        instrument=order.instrument,
        side=side,
        quantity=one.net,
        remaining=one.net,
        cost=numbers.money(one.price * one.net),
        entry_price=one.price,
        opened_at=at,
        fees=one.fee,
        signal_id=_signal(order) if protected else None,
        request_key=_request_key(order) if protected else None,
    )
    wanted: list[Leg] = []
    if protected:
        wanted = [resting(leg, side, one.price) for leg in leg_rows.of_plain(order.legs)]
        leg_rows.add([(lot, wanted, one.price)], at)
    LevelChange.objects.create(position_id=lot.pk, shard=order.instrument.shard)
    return lot


def _enlarge(lot: Position, one: Traded) -> None:
    cost = numbers.money(one.price * one.net)
    notional = lot.entry_price * lot.quantity + one.price * one.net
    lot.quantity += one.net
    lot.remaining += one.net
    lot.cost += cost
    lot.fees += one.fee
    lot.entry_price = numbers.average(notional, lot.quantity)
    lot.version += 1
    lot.save(update_fields=["quantity", "remaining", "cost", "fees", "entry_price", "version"])


def _tell(order: Order, lot: Position, *, made: bool, enlarged: bool) -> None:
    legs = list(lot.legs.filter(status=LegStatus.LIVE))
    kinds = {"position.created": made, "position.enlarged": enlarged and not made}
    for kind, happened in kinds.items():
        if happened:
            payload = {**facts.of_position(lot, legs), "order": order.pk}
            journal.record(kind, f"position:{lot.pk}", account_id=lot.account_id, actor=order.actor, payload=payload)
    bell.announce_after_commit()


def _signal(order: Order) -> int | None:
    """Return the signal a lot belongs to: the first lot of a signal in an account has it, if it is still there."""
    signal_id = order.decision.signal_id if order.decision else None
    if signal_id is None or Position.objects.filter(account_id=order.account_id, signal_id=signal_id).exists():
        return None
    return signal_id if Signal.objects.filter(pk=signal_id).exists() else None


def _request_key(order: Order) -> str | None:
    taken = Position.objects.filter(account_id=order.account_id, request_key=order.request_key)
    return None if order.request_key is None or taken.exists() else order.request_key


def beyond(order: Order, one: Traded, *, at: datetime, now: datetime, part: str) -> Position:
    """Make the lot of what an exit order left beyond its position: it faces the other way and has no legs."""
    lot = open_lot(order, one, at=at, now=now, protected=False)
    line = order_books.open_line(Side(lot.side), one)
    order_books.book(order, lot, one, line, at=at, part=part)
    payload = {**facts.of_position(lot), "order": order.pk}
    journal.record("position.created", f"position:{lot.pk}", account_id=lot.account_id, payload=payload)
    bell.announce_after_commit()
    return lot
