"""What should be known before a session? What is held and how it is protected, what waits, what is stopped."""

from collections import Counter
from datetime import datetime
from typing import Any, Final

from apps.domain import calendars as rules
from apps.domain.legs import LegKind
from apps.domain.restrictions import Scope
from apps.domain.states import ENDED_ORDERS, LegStatus, PositionStatus
from apps.market import calendars
from apps.market.calendars import NotCovered
from apps.market.models import Instrument
from apps.reporting.reports.subjects import Subject
from apps.trading import selectors
from apps.trading.models import Discrepancy, ExitLeg, Order, Position, Resolution, Restriction, Violation
from apps.trading.statistics import plain

MOST: Final = 100
_STOPS: Final = (LegKind.STOP_LOSS, LegKind.TRAILING_STOP, LegKind.BREAK_EVEN)


def of(subject: Subject, now: datetime) -> dict[str, Any]:
    """Return what is, at this moment, as plain values."""
    account = subject.account
    held = Position.objects.filter(account=account).exclude(status=PositionStatus.CLOSED)
    rows = list(held.select_related("instrument").prefetch_related("legs").order_by("-id")[:MOST])
    protected = ExitLeg.objects.filter(status=LegStatus.LIVE, kind__in=_STOPS).values("position_id")
    differences = Discrepancy.objects.filter(account=account, resolution=Resolution.OPEN)
    broken = Violation.objects.filter(account=account, ended_at=None).order_by("-id")
    return {
        "held": held.count(),
        "unprotected": held.exclude(pk__in=protected).count(),
        "lots": [_lot(row) for row in rows],
        "orders": dict(Counter(_open_orders(account.pk))),
        "restrictions": [_restriction(row) for row in selectors.restrictions() if _concerns(row, account.pk)],
        "violations": [row.sentence for row in broken[:MOST]],
        "differences": differences.count(),
        "markets": [_market(row, now) for row in _markets(subject, rows)],
    }


def _lot(row: Position) -> dict[str, Any]:
    live = [leg for leg in row.legs.all() if leg.status == LegStatus.LIVE]
    return {
        "position": row.pk,
        "instrument": row.instrument.symbol,
        "side": str(row.side),
        "quantity": plain.of(row.remaining),
        "entry_price": plain.of(row.entry_price),
        "legs": [_leg(leg) for leg in live],
    }


def _leg(leg: ExitLeg) -> str:
    word = leg.kind.replace("_", " ")
    if leg.level is not None:
        return f"{word} {plain.of(leg.level)}"
    if leg.trail is not None:
        return f"{word} {plain.of(leg.trail * 100)} %" if leg.trail_is_rate else f"{word} {plain.of(leg.trail)}"
    return f"{word} {leg.due_at:%Y-%m-%d %H:%M}" if leg.due_at else word


def _open_orders(account_id: int) -> list[str]:
    rows = Order.objects.filter(account_id=account_id).exclude(status__in=ENDED_ORDERS)
    return [str(status) for status in rows.values_list("status", flat=True)]


def _restriction(row: Restriction) -> dict[str, str]:
    return {"state": str(row.state), "scope": str(row), "reason": row.reason, "since": row.since.isoformat()}


def _concerns(row: Restriction, account_id: int) -> bool:
    return row.scope != Scope.ACCOUNT or row.target == account_id


def _markets(subject: Subject, rows: list[Position]) -> list[str]:
    followed = Instrument.objects.filter(strategy__allocations__account=subject.account, enabled=True)
    return sorted({row.instrument.calendar for row in rows} | {*followed.values_list("calendar", flat=True)})


def _market(name: str, now: datetime) -> dict[str, Any]:
    calendar = calendars.of(name)
    try:
        opens, closes = (find(calendar, now) for find in (rules.next_open, rules.next_close))
    except NotCovered as error:
        return {"calendar": name, "opens_at": None, "closes_at": None, "note": str(error)}
    told = [each.isoformat() if each else None for each in (opens, closes)]
    return {"calendar": name, "opens_at": told[0], "closes_at": told[1], "note": "" if opens else "It never closes."}
