"""What a position's page tells: its ways out as they stand now, how it was left and how fast, and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Q

from apps.domain import numbers
from apps.domain.legs import Leg, LegKind, target_hit, trailing_stop
from apps.domain.sides import Side
from apps.domain.states import LegStatus
from apps.journal.models import Event
from apps.market.models import Quote
from apps.trading import selectors
from apps.trading.models import Decision, Exit, ExitLeg, Fill, LedgerEntry, Order, Position

EVENTS = 100
# A leg that rides another's watermark has that leg's best price, over as many steps as it takes.
_PEAKS = """
WITH RECURSIVE chain AS (
    SELECT w.leg_id AS leg, w.peak, w.rides FROM trading_watermark w
    JOIN trading_exitleg l ON l.id = w.leg_id WHERE l.position_id = %s
    UNION ALL SELECT c.leg, w.peak, w.rides FROM chain c JOIN trading_watermark w ON w.leg_id = c.rides
)
SELECT leg, peak FROM chain WHERE rides IS NULL
"""
_STEPS = (
    ("venue_at", "traded at the venue"),
    ("tick_at", "price arrived"),
    ("seen_at", "crossing seen"),
    ("recorded_at", "exit stored"),
    ("claimed_at", "taken by a worker"),
    ("closed_at", "fill booked"),
    ("committed_at", "committed"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOut:
    """A leg as it stands: where it triggers now, how far that is, and how it got there."""

    leg: ExitLeg
    level: Decimal | None
    away: Decimal | None  # of the price, as a rate; positive while the price has room
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One instant of an exit, in milliseconds after the price arrived."""

    name: str
    at: datetime
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """An exit with its instants."""

    exit: Exit
    steps: list[Step]
    tick_to_close_ms: float | None


def of(position: Position, quote: Quote | None) -> dict[str, Any]:
    """Return everything the page shows of a position, in a fixed number of queries."""
    legs = list(position.legs.order_by("id"))
    exits = list(position.exits.select_related("drain").order_by("id"))
    orders = list(Order.objects.filter(position=position).order_by("id"))
    return {
        "position": position,
        "quote": quote,
        "unrealised": unrealised(position, quote),
        "live": [leg for leg in legs if leg.status == LegStatus.LIVE],
        "ways_out": ways_out(position, legs, quote),
        "leavings": [leaving(item) for item in exits],
        "orders": orders,
        "decision": _decision(position, orders),
        "fills": list(Fill.objects.filter(position=position).order_by("id")),
        "ledger": list(LedgerEntry.objects.filter(fill__position=position).order_by("id")),
        "events": [(event, sentence(event)) for event in _events(position)],
    }


def _decision(position: Position, orders: Iterable[Order]) -> Decision | None:
    """Return the decision that led to a lot: its own, or that of the order that entered it."""
    through = [order.decision_id for order in orders if order.decision_id is not None]
    return Decision.objects.filter(Q(position=position) | Q(pk__in=through)).order_by("id").first()


def unrealised(position: Position, quote: Quote | None) -> Decimal | None:
    """Return what leaving at the latest price would gain, before fees; None when nothing is held or known."""
    if quote is None or not position.remaining:
        return None
    gain: Decimal = quote.price * position.remaining - position.cost
    return gain * Side(position.side).sign


def ways_out(position: Position, legs: list[ExitLeg], quote: Quote | None) -> list[WayOut]:
    """Return the legs as they stand, live ones first."""
    peaks = _peaks(position) if any(leg.kind in (LegKind.TRAILING_STOP, LegKind.BREAK_EVEN) for leg in legs) else {}
    found = [_way_out(position, leg, peaks.get(leg.pk), quote) for leg in legs]
    return sorted(found, key=lambda way: (way.leg.status != LegStatus.LIVE, way.leg.pk))


def leaving(exit_: Exit) -> Leaving:
    """Return an exit with the instants it knows, in the order in which they happen."""
    drain = exit_.drain
    instants = {"claimed_at": drain.claimed_at, "committed_at": drain.committed_at} if drain else {}
    steps = []
    for name, words in _STEPS:
        at = instants.get(name) or getattr(exit_, name, None)
        if at is not None:
            steps.append(Step(name=words, at=at, ms=(at - exit_.tick_at).total_seconds() * 1000))
    return Leaving(exit=exit_, steps=steps, tick_to_close_ms=selectors.tick_to_close_ms(exit_))


def sentence(event: Event) -> str:
    """Say in words what an event of a position tells."""
    told = event.payload
    legs = ", ".join(f"{leg['kind'].replace('_', ' ')} {_where(leg)}" for leg in told.get("legs", []))
    match event.kind:
        case "position.created":
            what = f"{told.get('side')} {told.get('quantity')} {told.get('instrument')} at {told.get('entry_price')}"
            return f"Opened {what}" + (f", with {legs}" if legs else ", without a way out")
        case "position.amended":
            return f"Ways out are now: {legs or 'none'}"
        case "position.reduced":
            reason = str(told.get("exit_reason")).replace("_", " ")
            return f"Left in part by {reason}, {told.get('remaining')} remain"
        case "position.closed":
            reason = str(told.get("exit_reason")).replace("_", " ")
            return f"Closed by {reason} at {told.get('exit_price')}, P&L {told.get('realised_pnl')} before fees"
        case _:
            return str(told.get("note") or told.get("reason") or event.kind)


def _events(position: Position) -> list[Event]:
    return list(Event.objects.filter(subject=f"position:{position.pk}").order_by("-id")[:EVENTS])[::-1]


def _where(leg: dict[str, Any]) -> str:
    if "trail" in leg:
        distance = Decimal(leg["trail"])
        return f"{numbers.plain(distance * 100)}%" if leg.get("trail_is_rate") else numbers.plain(distance)
    return str(leg.get("activation") or leg.get("level") or leg.get("due_at", ""))


def _way_out(position: Position, leg: ExitLeg, peak: Decimal | None, quote: Quote | None) -> WayOut:
    side = Side(position.side)
    level, how = _level(leg, side, peak)
    away = None
    if level is not None and quote is not None and leg.status == LegStatus.LIVE:
        ahead = side.sign if leg.kind == LegKind.TAKE_PROFIT else -side.sign
        away = (level - quote.price) * ahead / quote.price
    return WayOut(leg=leg, level=level, away=away, how=how)


def _level(leg: ExitLeg, side: Side, peak: Decimal | None) -> tuple[Decimal | None, str]:
    """Return where a leg triggers now, None while it sleeps or waits for an instant, and how that came about."""
    if leg.kind == LegKind.TIME_STOP:
        return None, f"at {leg.due_at:%Y-%m-%d %H:%M:%S} UTC"
    if leg.kind not in (LegKind.TRAILING_STOP, LegKind.BREAK_EVEN):
        return leg.level, "fixed"
    if leg.activation is not None and (peak is None or not target_hit(side.sign, peak, leg.activation)):
        return None, f"asleep, wakes at {numbers.plain(leg.activation)}"
    if leg.kind == LegKind.BREAK_EVEN:
        return leg.level, f"awake since the price was {_plain(peak)}"
    if peak is None:
        return None, "waits for its first price"
    rule = Leg(kind=LegKind.TRAILING_STOP, trail=leg.trail, trail_is_rate=leg.trail_is_rate)
    distance = f"{_plain(leg.trail and leg.trail * 100)} %" if leg.trail_is_rate else _plain(leg.trail)
    return trailing_stop(rule, side, peak), f"{distance} behind the best price {_plain(peak)}"


def _plain(value: Decimal | None) -> str:
    return "" if value is None else numbers.plain(value)


def _peaks(position: Position) -> dict[int, Decimal | None]:
    with connection.cursor() as cursor:
        cursor.execute(_PEAKS, [position.pk])
        return dict(cursor.fetchall())
