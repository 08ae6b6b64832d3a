"""The fills that an event of a position is about: what was traded, at which price and fee."""

from collections.abc import Sequence

from django.db import connection

from apps.web.gateway import topics
from apps.web.gateway.tail import Fact

# Whoever books a fill holds the position's row until the event is written: what was booked since the event before is
# what this one is about. Decimals as text without an exponent or zeros at the end, as everywhere.
_ABOUT = """
SELECT e.id, jsonb_agg(jsonb_build_object(
    'fill', f.id, 'position', f.position_id, 'exit', f.exit_id, 'order', f.order_id,
    'side', CASE WHEN f.buy THEN 'buy' ELSE 'sell' END, 'quantity', trim_scale(f.quantity)::text,
    'price', trim_scale(f.price)::text, 'fee', trim_scale(f.fee)::text, 'at', f.at) ORDER BY f.id)::text
FROM unnest(%s::bigint[], %s::bigint[]) AS wanted(event_id, position_id)
JOIN journal_event e ON e.id = wanted.event_id
JOIN trading_fill f ON f.position_id = wanted.position_id
WHERE EXISTS (
    SELECT FROM trading_ledgerentry l WHERE l.fill_id = f.id AND l.recorded_at <= e.at AND l.recorded_at > coalesce((
        SELECT p.at FROM journal_event p WHERE p.subject = e.subject AND p.id < e.id AND p.kind = ANY(%s)
        ORDER BY p.id DESC LIMIT 1), '-infinity'))
GROUP BY e.id
"""
_SUBJECT = "position:"


def about(facts: Sequence[Fact]) -> dict[int, str]:
    """Return the fills of each event that has some, as JSON text."""
    wanted = [(fact.id, int(fact.subject.removeprefix(_SUBJECT))) for fact in facts if _is_trade(fact)]
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        events, positions = zip(*wanted, strict=True)
        cursor.execute(_ABOUT, [list(events), list(positions), list(topics.TRADED)])
        return dict(cursor.fetchall())


def _is_trade(fact: Fact) -> bool:
    number = fact.subject.removeprefix(_SUBJECT)
    return fact.kind in topics.TRADED and fact.subject.startswith(_SUBJECT) and number.isdecimal() and len(number) < 19
