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
LIVE_EXITS = (ExitStatus.TRIGGERED, ExitStatus.CLAIMED)
