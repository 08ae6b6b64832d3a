"""Asking a venue how an order stands, and asking it to take one back or to change it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from django.db import transaction

from apps.domain.order_life import Note
from apps.domain.orders import Report
from apps.domain.states import ENDED_ORDERS, OrderStatus
from apps.trading import locks
from apps.trading.brokers.base import Broker, BrokerRefused
from apps.trading.locks import Step
from apps.trading.models import Order
from apps.trading.services import ordering, settling, tickets
from apps.trading.services.settling import Settled

GRACE: Final = timedelta(seconds=10)  # a request that was sent longer ago has reached the venue, or never will
GONE_AFTER: Final = timedelta(seconds=60)  # an order that the venue had and has not any more
_SOONEST, _LATEST = timedelta(milliseconds=250), timedelta(seconds=2)
_WORKING = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)
_AT_VENUE = (*_WORKING, OrderStatus.CANCELLING)
# Of those that ended, executions are missing; of those being sent, whoever sends them may have died.
WORTH_A_LOOK: Final = (OrderStatus.SUBMITTING, OrderStatus.UNKNOWN, *_AT_VENUE, *ENDED_ORDERS)

Clock = Callable[[], datetime]


class Seen(StrEnum):
    """What a look came to."""

    FOUND = "found"
    WAITING = "waiting"  # not there, but it may still be on its way
    ABSENT = "absent"  # the venue certainly never had it
    GONE = "gone"  # the venue had it and has it no more


def look(broker: Broker, order: Order, clock: Clock) -> Seen:
    """Ask the venue about an order and settle what it says. Raises what the broker does."""
    report = broker.find(order.client_id, order.venue_id)
    now = clock()
    if report is None:
        return _not_there(order, now)
    hear(broker, order, report, clock)
    if order.status == OrderStatus.CANCELLING and report.status in _WORKING:
        cancel(broker, order, clock)  # the first request was lost, or refused for the moment
    return Seen.FOUND


def hear(broker: Broker, order: Order, report: Report, clock: Clock) -> None:
    """Settle what a venue says; an order that works there although it counts as refused here is taken back.

    Raises what the broker does.
    """
    settled = _settle(order, report, clock())
    if Note.STILL_WORKS in settled.notes:
        _settle(order, broker.cancel(order.client_id, report.venue_id), clock())


def _settle(order: Order, report: Report, now: datetime) -> Settled:
    """Settle a report; in the same transaction another order takes up the rest of one taken back to be changed."""
    known = Order.objects.values_list("amendment", "position_id").get(pk=order.pk)
    if known[0] is None:
        return settling.settle(order.pk, report, now=now)
    with transaction.atomic():
        if known[1] is not None:
            locks.position(known[1])
        wanted = locks.order(order.pk).amendment
        settled = settling.settle(order.pk, report, now=now)
        if wanted is not None:
            ordering.take_up_rest(order.pk, wanted, now=now)
    return settled


def cancel(broker: Broker, order: Order, clock: Clock) -> None:
    """Ask the venue to take an order back and settle how it stands then. Raises BrokerBusy and BrokerUnclear."""
    try:
        report: Report | None = broker.cancel(order.client_id, order.venue_id)
    except BrokerRefused:
        report = broker.find(order.client_id, order.venue_id)  # it has ended, most likely: filled or taken back
    if report is not None:
        _settle(order, report, clock())


def amend(broker: Broker, order: Order, clock: Clock) -> None:
    """Ask the venue to change an order in place; one that it refuses stays as it is. Raises what asking does."""
    ticket = tickets.amended(order, broker.abilities)
    try:
        report = broker.amend(order.client_id, order.venue_id, ticket)
    except BrokerRefused as error:
        _amended(order, {}, kind=ordering.Told.AMEND_REFUSED, why=str(error))
        found = broker.find(order.client_id, order.venue_id)
        if found is not None:
            _settle(order, found, clock())
        return
    values = {"quantity": ticket.quantity, "limit_price": ticket.limit_price, "stop_price": ticket.stop_price}
    _amended(order, values, kind=ordering.Told.AMENDED)
    _settle(order, report, clock())


def begin_to_cancel(order: Order, *, now: datetime, look_at: datetime) -> None:
    """Write on a locked order that the venue is being asked to take it back."""
    order.status, order.look_at, order.version = OrderStatus.CANCELLING, look_at, order.version + 1
    order.save(update_fields=["status", "look_at", "version"])
    ordering.record(ordering.Told.CANCELLING, order, at=now.isoformat(), why=order.why)


def look_later(order: Order, *, now: datetime) -> None:
    """Say when a locked order is looked at next: soon while it is young, then less and less often."""
    age = now - order.sent_at if order.sent_at else _LATEST
    order.look_at = now + min(max(age / 2, _SOONEST), _LATEST)
    order.save(update_fields=["look_at"])


def _amended(order: Order, values: dict[str, Decimal | None], *, kind: str, why: str = "") -> None:
    with transaction.atomic():
        held = locks.order_of(Step(order.pk, order.account_id, order.position_id, "amend"), *_AT_VENUE)
        if held is None or held.amendment != order.amendment:
            return  # it has ended, or something else is wanted by now
        for name, value in values.items():
            setattr(held, name, value)
        held.amendment, held.version = None, held.version + 1
        held.save(update_fields=["quantity", "limit_price", "stop_price", "amendment", "version"])
        ordering.record(kind, held, why=why)


def _not_there(order: Order, now: datetime) -> Seen:
    since = order.sent_at or order.created_at
    if order.status == OrderStatus.UNKNOWN:
        return Seen.ABSENT if now - since >= GRACE else Seen.WAITING
    if order.status == OrderStatus.SUBMITTING or order.status in ENDED_ORDERS:
        return Seen.WAITING
    asked = order.cancel_asked_at
    if now - (asked or order.accepted_at or since) < (GRACE if asked else GONE_AFTER):
        return Seen.WAITING
    why = "the venue does not have it any more"
    gone = Report(
        client_id=order.client_id,
        venue_id=order.venue_id,
        status=OrderStatus.CANCELLED,
        filled=order.filled,
        reason=why,
    )
    _settle(order, gone, now)
    return Seen.GONE
