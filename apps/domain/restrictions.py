"""What may be traded: active, reducing or halted, for the whole site or a part of it. The most severe word counts.

No state stops an exit: what protects a position works in all of them.
"""

from collections.abc import Iterable
from enum import StrEnum

from apps.domain.errors import Problem


class TradingState(StrEnum):
    """What may be done with new orders."""

    ACTIVE = "active"  # positions are opened and left
    REDUCING = "reducing"  # positions are only left
    HALTED = "halted"  # nothing is opened and no strategy is followed; stops, targets and people still leave


class Scope(StrEnum):
    """What a state is said of."""

    SITE = "site"  # everything
    ACCOUNT = "account"  # one account
    STRATEGY = "strategy"  # what one strategy asks for
    INSTRUMENT = "instrument"  # one instrument, in every account


_SEVERITY = {TradingState.ACTIVE: 0, TradingState.REDUCING: 1, TradingState.HALTED: 2}


def most_severe(states: Iterable[TradingState]) -> TradingState:
    """Return the state that counts when several apply; active when none does."""
    return max(states, key=_SEVERITY.__getitem__, default=TradingState.ACTIVE)


def refusal(state: TradingState, scope: Scope, target: str, actor: str, since: str, why: str) -> Problem:
    """Say why an entry is refused: what is restricted, by whom, since when, and why."""
    what = "the site" if scope is Scope.SITE else f"{scope} {target}"
    rule = f"trading of {what} is {state}: {why} ({actor}, {since})"
    return Problem(field="trading_state", value=str(state), rule=rule, remedy="wait until a person sets it to active")
