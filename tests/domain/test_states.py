"""What may become what: every pair of every state machine."""

from enum import StrEnum
from itertools import product

import pytest

from apps.domain import states
from apps.domain.states import ExitStatus, LegStatus, OrderStatus, PositionStatus

ENDS = ("filled", "cancelled", "rejected", "expired")
AT_VENUE = ("accepted", "partially_filled", "cancelling")
ALLOWED = {
    "position": {
        ("opening", "open"),
        ("opening", "closed"),
        ("open", "closing"),
        ("open", "closed"),
        ("closing", "open"),
        ("closing", "closed"),
    },
    "leg": {("live", "done"), ("live", "cancelled")},
    "exit": {
        ("triggered", "claimed"),
        ("triggered", "done"),
        ("triggered", "superseded"),
        ("triggered", "failed"),
        ("claimed", "done"),
        ("claimed", "superseded"),
        ("claimed", "failed"),
        ("failed", "triggered"),
    },
    "order": {
        ("new", "submitting"),
        ("submitting", "new"),  # certainly not sent
        ("submitting", "unknown"),
        ("unknown", "submitting"),  # certainly not there: sent again under the same name
        *product(("new", "submitting", "unknown"), (*AT_VENUE, *ENDS)),
        *product(AT_VENUE, ENDS),
        ("accepted", "partially_filled"),
        ("accepted", "cancelling"),
        ("partially_filled", "cancelling"),
        ("cancelling", "accepted"),  # the venue refused to take it back
        ("cancelling", "partially_filled"),
        ("cancelled", "filled"),  # a fill that was reported late
        ("expired", "filled"),
        ("rejected", "filled"),  # it was there after all
        ("rejected", "cancelled"),
        ("rejected", "expired"),
    },
}
MACHINES: dict[str, tuple[type[StrEnum], dict]] = {
    "position": (PositionStatus, states.POSITION_MOVES),
    "leg": (LegStatus, states.LEG_MOVES),
    "exit": (ExitStatus, states.EXIT_MOVES),
    "order": (OrderStatus, states.ORDER_MOVES),
}
PAIRS = [(name, a, b) for name, (words, _) in MACHINES.items() for a, b in product(words, words)]


@pytest.mark.parametrize(("machine", "before", "after"), PAIRS)
def test_exactly_the_listed_moves_are_allowed(machine: str, before: StrEnum, after: StrEnum) -> None:
    assert (after in MACHINES[machine][1][before]) == ((str(before), str(after)) in ALLOWED[machine])


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_has_its_row_and_can_end(machine: str) -> None:
    words, moves = MACHINES[machine]
    assert set(moves) == set(words)
    ends = {word for word in words if not moves[word]}
    assert ends
    for word in words:
        assert _reachable(word, moves) & ends


def test_a_live_exit_is_one_that_is_not_finished() -> None:
    assert set(states.LIVE_EXITS) == {ExitStatus.TRIGGERED, ExitStatus.CLAIMED}


def _reachable(start: StrEnum, moves: dict) -> set[StrEnum]:
    found, todo = {start}, [start]
    while todo:
        for word in moves[todo.pop()] - found:
            found.add(word)
            todo.append(word)
    return found
