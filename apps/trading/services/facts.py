"""What the journal says of a position: one shape for every event, page and message."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from apps.domain import numbers
from apps.trading.models import ExitLeg, Position


def of_position(position: Position, legs: Sequence[ExitLeg] = ()) -> dict[str, Any]:
    """Return the facts of a position with decimals as plain strings and times in ISO 8601 UTC."""
    return {
        "position": position.pk,
        "account": position.account_id,
        "instrument": position.instrument.symbol,
        "side": position.side,
        "quantity": numbers.plain(position.quantity),
        "remaining": numbers.plain(position.remaining),
        "entry_price": numbers.plain(position.entry_price),
        "status": str(position.status),
        "realised_pnl": numbers.plain(position.realised_pnl),
        "fees": numbers.plain(position.fees),
        "opened_at": iso(position.opened_at),
        "closed_at": iso(position.closed_at),
        "legs": [of_leg(leg) for leg in legs],
    }


def of_leg(leg: ExitLeg) -> dict[str, Any]:
    """Return the facts of one exit leg, without what it does not have."""
    values = {
        "leg": leg.pk,
        "kind": str(leg.kind),
        "fraction": numbers.plain(leg.fraction),
        "level": text(leg.level),
        "activation": text(leg.activation),
        "trail": text(leg.trail),
        "trail_is_rate": leg.trail_is_rate or None,
        "due_at": iso(leg.due_at),
    }
    return {key: value for key, value in values.items() if value is not None}


def text(value: Decimal | None) -> str | None:
    """Return a decimal as plain text; None stays None."""
    return None if value is None else numbers.plain(value)


def iso(at: datetime | None) -> str | None:
    """Return an instant as ISO 8601; None stays None."""
    return None if at is None else at.isoformat()
