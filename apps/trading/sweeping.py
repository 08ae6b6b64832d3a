"""The second look: exits that should exist and do not, seen by the database alone."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from apps.trading.services.exits import Crossing, Fence, record_crossings

_BEYOND = """
SELECT l.id, q.price::text, NULL, q.trade_id, q.at, q.received_at
FROM market_quote q
JOIN trading_exitleg l ON l.instrument_id = q.instrument_id AND l.status = 'live' AND l.since <= q.received_at
    AND ((l.rises AND l.level <= q.price) OR (NOT l.rises AND l.level >= q.price))
WHERE l.kind IN ('stop_loss', 'take_profit')
    AND NOT EXISTS (SELECT 1 FROM trading_exit e WHERE e.leg_id = l.id AND (
        e.status IN ('triggered', 'claimed', 'done')
        OR (e.status = 'failed' AND e.recorded_at > clock_timestamp() - interval '1 minute')))
LIMIT %s
"""
_TRAILED = """
WITH RECURSIVE ride AS (
    SELECT l.id AS leg_id, w.rides, w.peak
    FROM trading_exitleg l JOIN trading_watermark w ON w.leg_id = l.id WHERE l.status = 'live'
    UNION
    SELECT r.leg_id, w.rides, w.peak FROM ride r JOIN trading_watermark w ON w.leg_id = r.rides
), mark AS (
    SELECT l.id, l.kind, l.rises, l.instrument_id, l.since, r.peak, CASE
        WHEN l.kind = 'break_even' THEN l.level
        WHEN l.trail_is_rate THEN r.peak - r.peak * l.trail * CASE WHEN l.rises THEN -1 ELSE 1 END
        ELSE r.peak - l.trail * CASE WHEN l.rises THEN -1 ELSE 1 END END AS level
    FROM ride r JOIN trading_exitleg l ON l.id = r.leg_id WHERE r.rides IS NULL AND r.peak IS NOT NULL
)
SELECT m.id, q.price::text, m.peak::text, q.trade_id, q.at, q.received_at
FROM mark m JOIN market_quote q ON q.instrument_id = m.instrument_id AND m.since <= q.received_at
    AND ((m.rises AND m.level <= q.price) OR (NOT m.rises AND m.level >= q.price))
WHERE NOT EXISTS (SELECT 1 FROM trading_exit e WHERE e.leg_id = m.id AND (
        e.status IN ('triggered', 'claimed', 'done')
        OR (e.status = 'failed' AND e.recorded_at > clock_timestamp() - interval '1 minute')))
LIMIT %s
"""
_DUE = """
INSERT INTO trading_exit (position_id, leg_id, reason, status, source, actor, note, tick_at, seen_at, late, epoch)
SELECT l.position_id, l.id, l.kind, 'triggered', 'sweeper', '', '', greatest(l.due_at, l.since), clock_timestamp(),
    false, %s
FROM trading_exitleg l
WHERE l.status = 'live' AND l.kind = 'time_stop' AND l.due_at <= clock_timestamp()
ORDER BY l.due_at LIMIT %s
ON CONFLICT DO NOTHING
"""
_WAITING = """
SELECT count(*), extract(epoch FROM clock_timestamp() - min(recorded_at)) FROM trading_exit WHERE status = 'triggered'
"""
_LATE = """
WITH late AS (
    UPDATE trading_exit SET note = 'waits for a worker or a price'
    WHERE status = 'triggered' AND note = '' AND recorded_at < clock_timestamp() - %s::interval
    RETURNING id, position_id, reason, recorded_at
)
INSERT INTO journal_event (kind, subject, account_id, actor, payload)
SELECT 'exit.waiting', 'exit:' || late.id, p.account_id, '',
    jsonb_build_object('position', p.id, 'reason', late.reason, 'since', late.recorded_at)
FROM late JOIN trading_position p ON p.id = late.position_id
"""
_ORDERS_LATE = """
WITH late AS (
    UPDATE trading_order SET why = left('waits for a worker; ' || why, 300)
    WHERE NOT (status IN ('cancelled', 'expired', 'filled', 'rejected')) AND status = 'new' AND look_at IS NULL
        AND why NOT LIKE 'waits %%' AND created_at < clock_timestamp() - %s::interval
    RETURNING id, account_id, purpose, position_id, created_at
)
INSERT INTO journal_event (kind, subject, account_id, actor, payload)
SELECT 'order.waiting', 'order:' || late.id, late.account_id, '',
    jsonb_build_object('order', late.id, 'purpose', late.purpose, 'position', late.position_id,
        'since', late.created_at)
FROM late
"""
_LIMIT = 5000


def beyond() -> dict[int, Crossing]:
    """Return legs whose stop or target the latest quote has passed although no exit exists, by leg."""
    return _ask(_BEYOND)


def trailed() -> dict[int, Crossing]:
    """Return trailing and break-even legs that the latest quote has passed although no exit exists, by leg.

    Follows every live watermark to its root, so it costs with their number: look less often than at the others.
    """
    return _ask(_TRAILED)


def record(crossings: Iterable[Crossing], *, fence: Fence) -> int:
    """Write exits for legs seen beyond their level twice in a row; the listener was the first chance."""
    return len(record_crossings(list(crossings), fence=fence, source="sweeper"))


def time_stops(*, epoch: int) -> int:
    """Write exits for time stops that are due; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [epoch, _LIMIT])
        return int(cursor.rowcount)


def waiting() -> tuple[int, float]:
    """Return how many exits wait to be executed, and for how many seconds the oldest has."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING)
        count, age = cursor.fetchone()
    return int(count), float(age or 0)


def complain(after: timedelta) -> int:
    """Record an event for each exit that has waited longer than `after`, once; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_LATE, [f"{after.total_seconds()} seconds"])
        return int(cursor.rowcount)


def complain_of_orders(after: timedelta) -> int:
    """Record an event for each order that nobody has tried to send for longer than `after`, once; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_ORDERS_LATE, [f"{after.total_seconds()} seconds"])
        return int(cursor.rowcount)


def _ask(question: str) -> dict[int, Crossing]:
    with connection.cursor() as cursor:
        cursor.execute(question, [_LIMIT])
        return {row[0]: _crossing(row) for row in cursor}


def _crossing(row: tuple[Any, ...]) -> Crossing:
    leg_id, price, peak, trade_id, venue_at, received_at = row
    return Crossing(
        leg_id=leg_id,
        price=price,
        peak=peak,
        trade_id=trade_id,
        venue_at=venue_at.isoformat(),
        counts_at=received_at,
        tick_at=received_at,
        seen_at=datetime.now(UTC),  # noqa: TID251 - the instant of seeing is the fact that is recorded
    )
