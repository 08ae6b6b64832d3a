"""What is asked of an order that exists: to be taken back or to be changed, and the words the journal has for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from django.db import transaction

from apps.domain import numbers
from apps.domain.errors import Problem, Refused
from apps.domain.orders import OrderKind, Purpose, client_id
from apps.domain.states import ENDED_ORDERS, OrderStatus
from apps.journal import services as journal
from apps.trading import bell, locks
from apps.trading.models import Decision, Order
from apps.trading.services import amending, deciding, facts

STOPS = (OrderKind.STOP, OrderKind.STOP_LIMIT)
LIMITS = (OrderKind.LIMIT, OrderKind.STOP_LIMIT)


class Told(StrEnum):
    """What the journal says of an order beside the statuses it comes to."""

    CREATED = "order.created"
    SENT = "order.sent"
    POSTPONED = "order.postponed"
    CANCEL_ASKED = "order.cancel_asked"
    CANCELLING = "order.cancelling"
    AMEND_ASKED = "order.amend_asked"
    AMENDED = "order.amended"
    AMEND_REFUSED = "order.amend_refused"
    AMEND_DROPPED = "order.amend_dropped"


class OrderEnded(Refused):
    """The order has ended; nothing about it can be changed any more."""


class OrderChanged(Refused):
    """The order is not the one that was looked at any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an order shall become; None leaves a value as it is. `quantity` is the whole, fills included."""

    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None

    def values(self) -> dict[str, str]:
        """Return what is named, as text for the table."""
        named = {"quantity": self.quantity, "limit_price": self.limit_price, "stop_price": self.stop_price}
        return {name: numbers.plain(value) for name, value in named.items() if value is not None}


def cancel(order_id: int, *, now: datetime, actor: str = "", why: str = "", version: int | None = None) -> Order:
    """Ask for an order to be taken back; it may still fill until the venue has answered. A repeat changes nothing.

    `version` is the one that was looked at, if that matters. Raises OrderEnded, OrderChanged, and Order.DoesNotExist if
    there is none.
    """
    with transaction.atomic():
        order = _working(order_id, version)
        ask_back([order], now=now, why=why or "cancelled by request", actor=actor)
    return order


def amend(order_id: int, change: Change, *, now: datetime, actor: str = "", version: int | None = None) -> Order:
    """Ask for price or quantity of a working entry order to be changed; a worker carries it out.

    Where the venue cannot change an order in place it is taken back and a new one takes up its rest. What takes more
    than before is judged by the limits on risk like a new entry. Raises as `cancel`, and Refused with every
    problem.
    """
    account_id, instrument_id = Order.objects.values_list("account_id", "instrument_id").get(pk=order_id)
    deciding.prepare({(account_id, instrument_id)}, now)
    with deciding.recorded(), transaction.atomic():
        account = locks.account(account_id)
        order = _working(order_id, version)
        problems = list(_amendment_problems(order, change))
        if problems:
            raise Refused(*problems)
        wanted = {name: Decimal(value) for name, value in change.values().items()}
        decision = amending.judge(order, wanted, account, now=now, actor=actor)
        wish_change(order, change, now=now, actor=actor, decision=decision)
    return order


def wish_change(
    order: Order, change: Change, *, now: datetime, actor: str = "", decision: Decision | None = None
) -> None:
    """Store on a locked order what it shall become; one that was not sent yet becomes it at once."""
    values = change.values()
    if order.status == OrderStatus.NEW:
        for name, value in values.items():
            setattr(order, name, Decimal(value))
        order.version += 1
        order.save(update_fields=[*values, "version"])
    else:
        order.amendment = {**(order.amendment or {}), **values}
        order.version += 1
        order.save(update_fields=["amendment", "version"])
    judged = {} if decision is None else {"judged": decision.pk}
    record(Told.AMEND_ASKED, order, actor=actor, wanted=values, at=now.isoformat(), **judged)
    bell.ring_orders_after_commit()


def ask_back(orders: Iterable[Order], *, now: datetime, why: str, actor: str = "", amending: bool = False) -> int:
    """Ask for locked orders to be taken back, once each; return how many were asked for now.

    One that was never sent ends here and now. Unless `amending`, nothing takes up the rest.
    """
    asked = 0
    for order in orders:
        if order.amendment is not None and not amending:
            order.amendment = None
            order.save(update_fields=["amendment"])
        if order.cancel_asked_at is not None:
            continue
        asked += 1
        order.cancel_asked_at = now
        if order.status == OrderStatus.NEW:
            end_unsent(order, why=why, now=now, actor=actor)
            continue
        order.why, order.version = why[:300], order.version + 1
        order.save(update_fields=["cancel_asked_at", "why", "version"])
        record(Told.CANCEL_ASKED, order, actor=actor, why=why)
    if asked:
        bell.ring_orders_after_commit()
    return asked


def end_unsent(
    order: Order, *, why: str, now: datetime, actor: str = "", status: OrderStatus = OrderStatus.CANCELLED
) -> None:
    """End a locked order that was never sent."""
    order.status, order.ended_at, order.why = status, now, why[:300]
    order.look_at, order.amendment, order.version = None, None, order.version + 1
    order.save(update_fields=["status", "ended_at", "why", "look_at", "amendment", "cancel_asked_at", "version"])
    record(f"order.{status}", order, actor=actor, why=why)


def take_up_rest(order_id: int, wanted: dict[str, str], *, now: datetime) -> Order | None:
    """Place a new order for the rest of one that was taken back to be changed so; None when there is nothing to do.

    The order and its position must be locked.
    """
    order = locks.order(order_id)
    if order.status not in ENDED_ORDERS:
        return None
    if order.amendment is not None:
        order.amendment = None
        order.save(update_fields=["amendment"])
    values = {name: Decimal(value) for name, value in wanted.items()}
    rest = values.pop("quantity", order.quantity) - order.filled
    if order.status != OrderStatus.CANCELLED or rest < order.instrument.min_quantity:
        record(Told.AMEND_DROPPED, order, why="it ended before it could be changed")
        return None
    return _place_rest(order, rest, values, now)


def _place_rest(old: Order, rest: Decimal, wanted: dict[str, Decimal], now: datetime) -> Order:
    of = old.decision_id or old.position_id or old.pk
    attempt = old.attempt + 1
    new = Order.objects.create(
        account=old.account,
        instrument=old.instrument,
        position=old.position,
        decision=old.decision,
        purpose=old.purpose,
        client_id=client_id(
            Purpose(old.purpose), of, attempt, account_id=old.account_id, opened_at=old.account.opened_at
        ),
        attempt=attempt,
        buy=old.buy,
        kind=old.kind,
        tif=old.tif,
        quantity=rest,
        limit_price=wanted.get("limit_price", old.limit_price),
        stop_price=wanted.get("stop_price", old.stop_price),
        reduce_only=old.reduce_only,
        legs=old.legs,
        actor=old.actor,
        due_at=old.due_at,
        expires_at=old.expires_at,
        why=f"takes up the rest of order {old.pk}",
    )
    record(Told.CREATED, new, actor=old.actor, replaces=old.pk, why=new.why, at=now.isoformat())
    bell.ring_orders_after_commit()
    return new


def record(kind: str, order: Order, *, actor: str = "", **more: Any) -> None:
    """Write an event about an order with all that explains it; call it inside the transaction it belongs to."""
    payload = {**of_order(order), **more}
    journal.record(kind, f"order:{order.pk}", account_id=order.account_id, actor=actor, payload=payload)
    bell.announce_after_commit()


def of_order(order: Order) -> dict[str, Any]:
    """Return the facts of an order with decimals as plain strings, without what it does not have."""
    values = {
        "order": order.pk,
        "account": order.account_id,
        "instrument": order.instrument.symbol,
        "client_id": order.client_id,
        "venue_id": order.venue_id or None,
        "purpose": str(order.purpose),
        "position": order.position_id,
        "exit": order.exit_id,
        "decision": order.decision_id,
        "buy": order.buy,
        "kind": str(order.kind),
        "tif": str(order.tif),
        "quantity": numbers.plain(order.quantity),
        "filled": numbers.plain(order.filled),
        "limit_price": facts.text(order.limit_price),
        "stop_price": facts.text(order.stop_price),
        "status": str(order.status),
        "attempt": order.attempt,
    }
    return {key: value for key, value in values.items() if value is not None}


def _working(order_id: int, version: int | None = None) -> Order:
    known = Order.objects.only("position_id").get(pk=order_id)
    if known.position_id is not None:
        locks.position(known.position_id)
    order = locks.order(order_id)
    if order.status in ENDED_ORDERS:
        raise OrderEnded(
            Problem(field="order", value=f"#{order_id}", rule=f"is {order.status}", remedy="place a new order")
        )
    if version is not None and order.version != version:
        rule, remedy = f"is at version {order.version} by now", "look at it again"
        raise OrderChanged(Problem(field="If-Match", value=str(version), rule=rule, remedy=remedy))
    return order


def _amendment_problems(order: Order, change: Change) -> Iterable[Problem]:
    if order.purpose != Purpose.ENTRY:
        yield _problem("order", f"#{order.pk}", "is not an entry order", "amend the position's levels instead")
    if order.cancel_asked_at is not None:
        yield _problem("order", f"#{order.pk}", "is being taken back", "place a new order")
    if not change.values():
        yield _problem("change", "none", "names nothing to change", "give a quantity or a price")
    instrument = order.instrument
    for field, step in (
        ("quantity", instrument.lot_size),
        ("limit_price", instrument.tick_size),
        ("stop_price", instrument.tick_size),
    ):
        value = getattr(change, field)
        if value is not None:
            yield from _value_problems(order, field, value, step)


def _value_problems(order: Order, field: str, value: Decimal, step: Decimal) -> Iterable[Problem]:
    if not value.is_finite() or not 0 < value < numbers.LIMIT or not numbers.on_grid(value, step):
        remedy = f"use a multiple of {numbers.plain(step)}"
        yield _problem(field, str(value)[:40], "must be greater than 0 and on the grid", remedy)
    elif field == "quantity" and not max(order.filled, order.instrument.min_quantity) <= value:
        yield _problem(field, numbers.plain(value), "is less than what may be, or has been, filled", "choose more")
    elif field == "quantity" and value > order.instrument.max_quantity:
        most = numbers.plain(order.instrument.max_quantity)
        yield _problem(field, numbers.plain(value), f"must be at most {most}", "choose less")
    elif (field == "limit_price" and order.kind not in LIMITS) or (field == "stop_price" and order.kind not in STOPS):
        yield _problem(field, numbers.plain(value), f"a {order.kind} order has none", "leave it out")


def _problem(field: str, value: str, rule: str, remedy: str) -> Problem:
    return Problem(field=field, value=value, rule=rule, remedy=remedy)
