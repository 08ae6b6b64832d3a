"""Settling orders: what a venue said of an order is applied, in one transaction, to the order, its lot and the books.

Whoever settles holds the lock on the lot and then on the order, and tells the venue nothing. A report that comes again,
late or out of order changes nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction

from apps.domain import order_life
from apps.domain.order_life import Note, Outcome, State
from apps.domain.orders import Purpose, Report
from apps.domain.states import ENDED_ORDERS, ExitStatus, OrderStatus, PositionStatus
from apps.journal import services as journal
from apps.journal.models import Event
from apps.trading import bell, locks
from apps.trading.models import Exit, Order, Position
from apps.trading.services import order_books, order_exits, order_lots, ordering

_ASK_AGAIN = timedelta(seconds=1)  # after a report that lacks executions
_TRIES = 5  # an order gets its lot once; it gets another only when a fill comes after that was closed
# What the journal calls a status that an order came to.
KINDS = {
    OrderStatus.UNKNOWN: "order.unanswered",
    OrderStatus.ACCEPTED: "order.accepted",
    OrderStatus.PARTIALLY_FILLED: "order.partially_filled",
    OrderStatus.CANCELLING: "order.cancelling",
    OrderStatus.FILLED: "order.filled",
    OrderStatus.CANCELLED: "order.cancelled",
    OrderStatus.REJECTED: "order.rejected",
    OrderStatus.EXPIRED: "order.expired",
}
_FOR_A_PERSON = (Note.LATE, Note.OVERFILLED, Note.STILL_WORKS, Note.NONSENSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What settling changed, and what is left to do about the order."""

    order_id: int
    status: OrderStatus
    changed: bool
    fills: int = 0  # executions that were booked now
    notes: frozenset[Note] = frozenset()
    position_id: int | None = None
    exit_id: int | None = None
    closed: bool = False  # the lot holds nothing any more
    rest: Decimal = Decimal(0)  # base units that its exit still wants and no live order of the exit is for
    look_at: datetime | None = None  # when the venue is to be asked again

    @property
    def again(self) -> bool:
        """Say whether the exit needs another order: the last has ended with a rest."""
        return self.rest > 0


def settle(order_id: int, report: Report, *, now: datetime, look_at: datetime | None = None) -> Settled:
    """Apply a report to an order, book its new executions, and end its exit and lot where that is so.

    `look_at` is when to ask the venue again if the order goes on working. A repeated report changes nothing.
    """
    return _with_locks(order_id, lambda order: _settle(order, report, now, look_at))


def refused(order_id: int, why: str, now: datetime) -> Settled:
    """Say that the venue does not have the order and never had: it said no, or it is certain that it never came.

    An order that the venue is known to have stays as it is.
    """

    def act(order: Order) -> Settled:
        ours = (OrderStatus.NEW, OrderStatus.SUBMITTING, OrderStatus.UNKNOWN)
        if order.status not in ours or order.claimed:
            return _answer(order, changed=False)
        return _move(order, OrderStatus.REJECTED, why, now)

    return _with_locks(order_id, act)


def unclear(order_id: int, why: str, now: datetime, look_at: datetime) -> Settled:
    """Say that nobody knows what became of a request: the venue is asked at `look_at`, by client id."""

    def act(order: Order) -> Settled:
        if order.status in ENDED_ORDERS:
            return _answer(order, changed=False)
        order.look_at = look_at
        if order.status == OrderStatus.SUBMITTING:
            return _move(order, OrderStatus.UNKNOWN, why, now)
        order.why = why[:300]
        order.save(update_fields=["look_at", "why"])
        return _answer(order, changed=False)

    return _with_locks(order_id, act)


def kept(order_id: int, why: str, now: datetime, look_at: datetime | None = None) -> Settled:
    """Say that the venue refused to take an order back and that it works on."""

    def act(order: Order) -> Settled:
        status = order_life.kept(_state(order)).status
        if status == order.status:
            return _answer(order, changed=False)
        order.cancel_asked_at, order.look_at = None, look_at
        order.save(update_fields=["cancel_asked_at"])
        return _move(order, status, why, now)

    return _with_locks(order_id, act)


def _with_locks(order_id: int, act: Callable[[Order], Settled]) -> Settled:
    for _ in range(_TRIES):
        with transaction.atomic():
            order = _locked(order_id)
            if order is not None:
                return act(order)
    raise RuntimeError(f"order {order_id} changes its position faster than it can be locked")


def _locked(order_id: int) -> Order | None:
    """Lock the lot of an order and then the order; None when it got another lot in between."""
    position_id = Order.objects.values_list("position_id", flat=True).get(pk=order_id)
    position = None if position_id is None else locks.position(position_id)
    order = locks.order(order_id)
    if order.position_id != position_id:
        return None
    order.position = position
    return order


def _settle(order: Order, report: Report, now: datetime, look_at: datetime | None) -> Settled:
    before = _state(order, (one.id for one in report.executions))
    outcome = order_life.advance(before, report)
    after = outcome.state
    _write(order, after, report.reason, now, look_at)
    if outcome.executions or after.ended != before.ended:
        _book(order, outcome, now)
    changed = (before.status, before.filled, before.claimed) != (after.status, after.filled, after.claimed)
    if before.status != after.status or outcome.executions:
        ordering.record(KINDS[after.status], order, why=order.why, fills=len(outcome.executions))
    _tell_a_person(order, outcome)
    return _answer(order, changed=changed, outcome=outcome)


def _state(order: Order, execution_ids: Iterable[str] = ()) -> State:
    return State(
        status=OrderStatus(order.status),
        quantity=order.quantity,
        filled=order.filled,
        claimed=order.claimed,
        notional=order.notional,
        venue_id=order.venue_id,
        known=order_books.known(order, execution_ids),
    )


def _write(order: Order, state: State, why: str, now: datetime, look_at: datetime | None) -> None:
    order.status, order.filled, order.claimed = state.status, state.filled, state.claimed
    order.notional, order.venue_id = state.notional, state.venue_id[:80]
    order.why = why[:300] or order.why
    order.look_at = look_at or order.look_at
    if state.missing:
        order.look_at = look_at or now + _ASK_AGAIN
    if state.status not in (OrderStatus.NEW, OrderStatus.SUBMITTING, OrderStatus.UNKNOWN, OrderStatus.REJECTED):
        order.accepted_at = order.accepted_at or now
    if state.ended:
        order.ended_at = order.ended_at or now
        order.amendment = None
        order.look_at = order.look_at if state.missing else None
    order.version += 1
    order.save()


def _book(order: Order, outcome: Outcome, now: datetime) -> None:
    if order.purpose == Purpose.ENTRY:
        order_lots.book_entry(order, outcome.executions, now=now)
    else:
        order_exits.book_exit(order, outcome.executions, now=now)


def _move(order: Order, status: OrderStatus, why: str, now: datetime) -> Settled:
    """Set a status that no report brought."""
    if not order_life.may_become(OrderStatus(order.status), status):
        return _answer(order, changed=False)
    order.status, order.why, order.version = status, why[:300], order.version + 1
    if status in ENDED_ORDERS:
        order.ended_at, order.look_at, order.amendment = now, None, None
    order.save(update_fields=["status", "why", "version", "ended_at", "look_at", "amendment"])
    if status in ENDED_ORDERS and order.exit is not None:
        order_exits.follow(order, order.exit, took=False, now=now)
    ordering.record(KINDS[status], order, why=order.why)
    return _answer(order, changed=True)


def _tell_a_person(order: Order, outcome: Outcome) -> None:
    notes = sorted(str(note) for note in outcome.notes if note in _FOR_A_PERSON)
    told = Event.objects.filter(subject=f"order:{order.pk}", kind="order.questioned", payload__notes=notes)
    # The venue is asked again and again, and says the same each time: once is enough until something new has come.
    if not notes or (not outcome.executions and told.exists()):
        return
    payload = {**ordering.of_order(order), "notes": notes}
    journal.record("order.questioned", f"order:{order.pk}", account_id=order.account_id, payload=payload)
    bell.announce_after_commit()


def _answer(order: Order, *, changed: bool, outcome: Outcome | None = None) -> Settled:
    position = order.position
    return Settled(
        order_id=order.pk,
        status=OrderStatus(order.status),
        changed=changed,
        fills=len(outcome.executions) if outcome else 0,
        notes=outcome.notes if outcome else frozenset(),
        position_id=order.position_id,
        exit_id=order.exit_id,
        closed=position is not None and position.status == PositionStatus.CLOSED,
        rest=_rest(order, order.exit, position),
        look_at=order.look_at,
    )


def _rest(order: Order, exit_: Exit | None, position: Position | None) -> Decimal:
    """Return what the exit of an order that has ended still wants, 0 while another order of it is on its way."""
    if exit_ is None or position is None or order.status not in ENDED_ORDERS or exit_.status != ExitStatus.CLAIMED:
        return Decimal(0)
    live = Order.objects.filter(exit=exit_).exclude(status__in=ENDED_ORDERS)
    return Decimal(0) if live.exists() else order_exits.rest_of(exit_, position)
