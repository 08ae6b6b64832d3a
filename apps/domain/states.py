"""What may become what: the state machines of trading, one table each."""

from enum import StrEnum


class PositionStatus(StrEnum):
    """Where a position stands."""

    OPENING = "opening"  # an entry order is on its way
    OPEN = "open"  # it holds a quantity
    CLOSING = "closing"  # an exit order for all of it is on its way to a broker
    CLOSED = "closed"  # it holds nothing any more


class LegStatus(StrEnum):
    """Where an exit leg stands."""

    LIVE = "live"  # it watches the price
    DONE = "done"  # it was executed
    CANCELLED = "cancelled"  # replaced by an amendment, or its position closed another way


class ExitStatus(StrEnum):
    """Where an exit stands."""

    TRIGGERED = "triggered"  # durable, waiting to be executed
    CLAIMED = "claimed"  # a worker has sent it to a broker
    DONE = "done"  # filled and booked
    SUPERSEDED = "superseded"  # another exit was first, or the locked row did not confirm it
    FAILED = "failed"  # could not be executed; a person is told


class OrderStatus(StrEnum):
    """Where an order stands, as far as we know."""

    NEW = "new"  # stored, not sent
    SUBMITTING = "submitting"  # a worker is sending it: stored before the call
    UNKNOWN = "unknown"  # the answer was lost: the venue is asked by client id, nothing is sent again blindly
    ACCEPTED = "accepted"  # the venue has it
    PARTIALLY_FILLED = "partially_filled"
    CANCELLING = "cancelling"  # the venue was asked to take it back; it may still fill
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"


POSITION_MOVES: dict[PositionStatus, frozenset[PositionStatus]] = {
    PositionStatus.OPENING: frozenset({PositionStatus.OPEN, PositionStatus.CLOSED}),
    PositionStatus.OPEN: frozenset({PositionStatus.CLOSING, PositionStatus.CLOSED}),
    PositionStatus.CLOSING: frozenset({PositionStatus.OPEN, PositionStatus.CLOSED}),
    PositionStatus.CLOSED: frozenset(),
}
LEG_MOVES: dict[LegStatus, frozenset[LegStatus]] = {
    LegStatus.LIVE: frozenset({LegStatus.DONE, LegStatus.CANCELLED}),
    LegStatus.DONE: frozenset(),
    LegStatus.CANCELLED: frozenset(),
}
EXIT_MOVES: dict[ExitStatus, frozenset[ExitStatus]] = {
    ExitStatus.TRIGGERED: frozenset({ExitStatus.CLAIMED, ExitStatus.DONE, ExitStatus.SUPERSEDED, ExitStatus.FAILED}),
    ExitStatus.CLAIMED: frozenset({ExitStatus.DONE, ExitStatus.SUPERSEDED, ExitStatus.FAILED}),
    ExitStatus.DONE: frozenset(),
    ExitStatus.SUPERSEDED: frozenset(),
    ExitStatus.FAILED: frozenset({ExitStatus.TRIGGERED}),
}
_ENDS = frozenset({OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED})
_AT_VENUE = frozenset({OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.CANCELLING})
ORDER_MOVES: dict[OrderStatus, frozenset[OrderStatus]] = {
    # A venue may report an order that we took back into the queue: what it says is a fact.
    OrderStatus.NEW: _AT_VENUE | _ENDS | {OrderStatus.SUBMITTING},
    OrderStatus.SUBMITTING: _AT_VENUE | _ENDS | {OrderStatus.UNKNOWN, OrderStatus.NEW},
    OrderStatus.UNKNOWN: _AT_VENUE | _ENDS | {OrderStatus.SUBMITTING},
    OrderStatus.ACCEPTED: _ENDS | {OrderStatus.PARTIALLY_FILLED, OrderStatus.CANCELLING},
    OrderStatus.PARTIALLY_FILLED: _ENDS | {OrderStatus.CANCELLING},
    OrderStatus.CANCELLING: _ENDS | {OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED},
    # A fill that the venue reports after it said cancelled is a fact: the order becomes what it is. So is an order that
    # we held to be refused because nobody knew of it, and that was there after all.
    OrderStatus.CANCELLED: frozenset({OrderStatus.FILLED}),
    OrderStatus.EXPIRED: frozenset({OrderStatus.FILLED}),
    OrderStatus.REJECTED: frozenset({OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.EXPIRED}),
    OrderStatus.FILLED: frozenset(),
}
ENDED_ORDERS = tuple(sorted(_ENDS))
LIVE_EXITS = (ExitStatus.TRIGGERED, ExitStatus.CLAIMED)
