"""Claiming an order for the call that sends it: whether it still may go, and how much of it."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from django.db import transaction

from apps.domain import numbers
from apps.domain.errors import Refused
from apps.domain.orders import OrderKind, Purpose
from apps.domain.restrictions import TradingState
from apps.domain.states import OrderStatus, PositionStatus
from apps.trading import locks, selectors
from apps.trading.locks import Step
from apps.trading.models import Order, Standing
from apps.trading.services import claiming, ordering, restrictions, switches

PAPER: Final = "paper"  # the site's own book: nothing to compare with
ENTRY_WAITS: Final = timedelta(seconds=60)  # then the price it was judged at says nothing any more


class Claim(NamedTuple):
    """The order that is ours to send, if any, and whether anything was done about it."""

    order: Order | None
    moved: bool


_NOTHING = Claim(None, moved=False)


def claim(step: Step, *, now: datetime, first_look: timedelta, worker: str) -> Claim:
    """Take a new order to send it, within a transaction; one that must not go any more ends here, unsent."""
    order = locks.order_of(step, OrderStatus.NEW)
    if order is None:
        return _NOTHING
    why = _reason_not_to_send(order, now)
    if why:
        ordering.end_unsent(order, why=why, now=now)
        return Claim(None, moved=True)
    if switches.is_silenced(order.account) or _is_blocked(order, now):
        return _NOTHING
    return Claim(_begin(order, now, first_look, worker), moved=True)


def claim_again(order_id: int, *, now: datetime, first_look: timedelta, worker: str) -> Order | None:
    """Take an order the venue certainly does not have, to send it again under the same client id.

    What is not wanted any more ends as rejected: it never reached the venue.
    """
    known = Order.objects.only("position_id", "account_id").get(pk=order_id)
    order = locks.order_of(Step(order_id, known.account_id, known.position_id, "place"), OrderStatus.UNKNOWN)
    if order is None:
        return None
    why = "it was to be taken back" if order.cancel_asked_at else _reason_not_to_send(order, now)
    if why:
        text = f"it never reached the venue, and {why}"
        ordering.end_unsent(order, why=text, now=now, status=OrderStatus.REJECTED)
        return None
    if switches.is_silenced(order.account):
        return None  # it stays unknown, and the venue is asked about it again
    return _begin(order, now, first_look, worker)


def put_back(order: Order, why: str, *, now: datetime, after: timedelta) -> None:
    """Let an order that certainly was not sent wait for its next chance; another worker's claim is left alone."""
    with transaction.atomic():
        held = Order.objects.filter(pk=order.pk, status=OrderStatus.SUBMITTING, sent_at=order.sent_at)
        if held.update(status=OrderStatus.NEW, look_at=now + after, why=why[:300]) and order.why != why[:300]:
            order.status = OrderStatus.NEW
            ordering.record(ordering.Told.POSTPONED, order, why=why, until=(now + after).isoformat())


def _begin(order: Order, now: datetime, first_look: timedelta, worker: str) -> Order:
    order.status, order.sent_at, order.look_at = OrderStatus.SUBMITTING, now, now + first_look
    order.version += 1
    order.save(update_fields=["status", "sent_at", "look_at", "quantity", "version"])
    ordering.record(ordering.Told.SENT, order, worker=worker, at=now.isoformat())
    return order


def _is_blocked(order: Order, now: datetime) -> bool:
    """Say whether an order must wait: an entry until its account agrees with its venue, an exit for its lot's stop.

    A stop that is not at the venue yet ends here.
    """
    if order.purpose == Purpose.ENTRY:
        return not _agrees(order)
    if order.purpose != Purpose.EXIT or order.position_id is None:
        return False
    stops = [one for one in locks.live_orders(order.position_id) if one.purpose == Purpose.PROTECT]
    ordering.ask_back(stops, now=now, why=f"exit {order.exit_id} leaves the position")
    return any(one.status != OrderStatus.CANCELLED for one in stops)


def _agrees(order: Order) -> bool:
    """Say whether the books of an order's account agree with its venue's."""
    if order.account.broker == PAPER:
        return True
    return Standing.objects.filter(pk=order.account_id, clean_at__isnull=False).exists()


def _reason_not_to_send(order: Order, now: datetime) -> str:
    if order.purpose == Purpose.ENTRY:
        return _entry_problem(order, now)
    return _leaving_problem(order)


def _leaving_problem(order: Order) -> str:
    """Fit an order that leaves a locked position to what is free by now; nothing free is a reason not to send it."""
    position = order.position
    if position is None or position.status == PositionStatus.CLOSED:
        return "the position is closed"
    taken = order.quantity - order.filled if order.purpose == Purpose.EXIT else Decimal(0)
    free = numbers.floor_to(max(claiming.free_of(position) + taken, Decimal(0)), order.instrument.lot_size)
    if order.purpose == Purpose.PROTECT and (free < position.remaining or position.status != PositionStatus.OPEN):
        return "the position is being left"
    if free <= 0:
        return "nothing is left for it"
    whole = order.purpose == Purpose.EXIT and order.exit is not None and order.exit.leg_id is None
    order.quantity = free if whole else min(order.quantity, free)
    return ""


def _entry_problem(order: Order, now: datetime) -> str:
    try:
        switches.live_allowed(order.account, leaving=False)
    except Refused as refused:
        return str(refused)
    strategy_id = order.decision.strategy_id if order.decision else None
    state = restrictions.state_of(
        selectors.restrictions(),
        account_id=order.account_id,
        instrument_id=order.instrument_id,
        strategy_id=strategy_id,
    )
    if state is not TradingState.ACTIVE:
        return f"trading is {state}"
    if order.due_at is not None and order.due_at <= now:
        return "its time was up before it was sent"
    if order.created_at + ENTRY_WAITS <= now and (order.kind == OrderKind.MARKET or not _agrees(order)):
        return f"it could not be sent within {ENTRY_WAITS.total_seconds():.0f} seconds"
    return ""
