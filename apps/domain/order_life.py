"""How an order moves: what it was, what a venue says of it, and what it is then.

Reports may come late, twice, out of order or with executions missing. Executions are facts and are counted once each;
of two statuses the one further on in an order's life counts; an order ends only once every execution that the venue
counts is known. So the same reports lead to the same end in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from apps.domain import numbers
from apps.domain.orders import Execution, Report
from apps.domain.states import ENDED_ORDERS, ORDER_MOVES, OrderStatus

_WORKING = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)
_OURS = (OrderStatus.NEW, OrderStatus.SUBMITTING, OrderStatus.UNKNOWN)  # said by us, never by a venue


class Note(StrEnum):
    """What is worth telling about a report."""

    MISSING = "missing"  # the venue counts more than the executions it has told: ask again
    LATE = "late"  # filled after the order had ended
    OVERFILLED = "overfilled"  # filled more than was ordered: a person must look
    STILL_WORKS = "still_works"  # we held it to be refused, and the venue has it: it must be taken back
    NONSENSE = "nonsense"  # an execution of nothing, or at no price: not booked, a person must look


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where an order stands: `filled` is the sum of its executions, `claimed` the most that the venue ever said."""

    status: OrderStatus
    quantity: Decimal
    filled: Decimal = Decimal(0)
    claimed: Decimal = Decimal(0)
    notional: Decimal = Decimal(0)
    venue_id: str = ""
    known: frozenset[str] = frozenset()  # ids of the executions that are counted

    @property
    def ended(self) -> bool:
        """Say whether the venue will do nothing more with it."""
        return self.status in ENDED_ORDERS

    @property
    def missing(self) -> Decimal:
        """Return how much was filled without an execution that says at what price."""
        return max(self.claimed - self.filled, Decimal(0))

    @property
    def done(self) -> bool:
        """Say whether it has ended and everything about it is known."""
        return self.ended and not self.missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a report led to: the state now, the executions that are new, and what is worth telling."""

    state: State
    executions: tuple[Execution, ...] = ()
    notes: frozenset[Note] = frozenset()


def advance(order: State, report: Report) -> Outcome:
    """Return what an order is once a report has come; a stale or repeated one changes nothing."""
    fresh, nonsense = _fresh(order, report.executions)
    filled = order.filled + sum((one.quantity for one in fresh), Decimal(0))
    counted = replace(
        order,
        filled=filled,
        claimed=max(order.claimed, filled, _claim(order, report, filled)),
        notional=numbers.stored(order.notional + sum((one.quantity * one.price for one in fresh), Decimal(0))),
        venue_id=order.venue_id or report.venue_id,
        known=order.known | {one.id for one in fresh},
    )
    state = replace(counted, status=_status(counted, report))
    return Outcome(state=state, executions=tuple(fresh), notes=_notes(order, state, report, fresh, nonsense=nonsense))


def may_become(before: OrderStatus, after: OrderStatus) -> bool:
    """Say whether an order may go from one status to another."""
    return after in ORDER_MOVES[before]


def _fresh(order: State, executions: Sequence[Execution]) -> tuple[list[Execution], bool]:
    """Return the executions that are not counted yet, each once, on the scale of the books; and whether one is bad."""
    found: dict[str, Execution] = {}
    nonsense = False
    for one in executions:
        if one.id in order.known or one.id in found:
            continue
        if not _sane(one):
            nonsense = True
            continue
        found[one.id] = replace(one, quantity=numbers.stored(one.quantity), price=numbers.stored(one.price))
    return list(found.values()), nonsense


def _sane(one: Execution) -> bool:
    values = (one.quantity, one.price, one.fee)
    if not one.id or not all(value.is_finite() and abs(value) < numbers.LIMIT for value in values):
        return False
    return numbers.stored(one.quantity) > 0 and numbers.stored(one.price) > 0


def _claim(order: State, report: Report, filled: Decimal) -> Decimal:
    """Return what the venue says is filled; one that says filled and nothing else means all of it."""
    if not report.filled.is_finite() or abs(report.filled) >= numbers.LIMIT:
        return Decimal(0)
    if report.status is OrderStatus.FILLED and not report.filled and not filled:
        return order.quantity
    return numbers.stored(report.filled)


def _status(counted: State, report: Report) -> OrderStatus:
    """Return the status that counts: the one further on, as far as it may follow the present one."""
    said = _said(counted, report.status)
    if counted.missing and said in ENDED_ORDERS:
        # Whoever acts on the end of an order must know all its executions: an exit would be sent again otherwise.
        said = OrderStatus.PARTIALLY_FILLED if said is OrderStatus.FILLED else OrderStatus.CANCELLING
    # Nobody can tell a late "it works" from a refused cancel: that is said by whoever asked to cancel (`kept`).
    if counted.status is OrderStatus.CANCELLING and said in _WORKING:
        return counted.status
    return said if may_become(counted.status, said) else counted.status


def _said(counted: State, said: OrderStatus) -> OrderStatus:
    if counted.filled >= counted.quantity:
        return OrderStatus.FILLED
    if said in _OURS:
        return OrderStatus.PARTIALLY_FILLED if counted.claimed else counted.status
    if said is OrderStatus.ACCEPTED and counted.claimed:
        return OrderStatus.PARTIALLY_FILLED
    return said


def kept(order: State) -> State:
    """Return an order that the venue refused to take back and that works on; one that has ended stays as it is."""
    if order.status is not OrderStatus.CANCELLING:
        return order
    return replace(order, status=OrderStatus.PARTIALLY_FILLED if order.claimed else OrderStatus.ACCEPTED)


def _notes(
    before: State, state: State, report: Report, fresh: Sequence[Execution], *, nonsense: bool
) -> frozenset[Note]:
    works = before.status is OrderStatus.REJECTED and report.status in (*_WORKING, OrderStatus.CANCELLING)
    told = {
        Note.MISSING: bool(state.missing),
        Note.LATE: before.ended and bool(fresh),
        Note.OVERFILLED: bool(fresh) and state.filled > state.quantity,
        Note.STILL_WORKS: works and not state.filled >= state.quantity,
        Note.NONSENSE: nonsense,
    }
    return frozenset(note for note, holds in told.items() if holds)
