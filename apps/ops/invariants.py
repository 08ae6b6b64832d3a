"""What must always be true, each as one query that returns nothing when it is; docs/faults.md explains them."""

from collections.abc import Sequence

from django.conf import settings
from django.db import connection

from apps.journal import seals
from apps.ops.invariant import Finding, Invariant
from apps.ops.order_invariants import ORDERS, STUCK

BOUND = "5 seconds"  # after which a crossed level without an exit is a missed one, and a waiting exit a stuck one
_LATEST = 20_000  # legs looked at against the tick store, newest first


_POSITIONS: Sequence[Invariant] = (
    Invariant(
        id="I1",
        name="No position is closed twice: what its exits left is what it no longer holds, each exit filled once",
        query="""
            SELECT p.id, p.quantity, p.remaining, e.quantity, d.quantity FROM trading_position p
            LEFT JOIN (
                SELECT position_id, sum(quantity) AS quantity FROM trading_exit GROUP BY position_id
            ) e ON e.position_id = p.id
            LEFT JOIN trading_ledgerentry d ON d.position_id = p.id
            WHERE coalesce(e.quantity, 0) + coalesce(d.quantity, 0) <> p.quantity - p.remaining
            UNION ALL
            SELECT e.position_id, e.quantity, NULL, sum(coalesce(f.net, f.quantity)), count(f.id) FROM trading_exit e
            LEFT JOIN trading_fill f ON f.exit_id = e.id GROUP BY e.id, e.position_id, e.quantity, e.status
            HAVING coalesce(sum(coalesce(f.net, f.quantity)), 0) <> coalesce(e.quantity, 0)
                OR (e.status = 'done' AND count(f.id) = 0)
        """,
    ),
    Invariant(
        id="I2",
        name=f"No position stays open past its stop or target for longer than {BOUND}, by the latest quote",
        query="""
            SELECT l.position_id, l.id, l.kind, l.level, q.price FROM market_quote q
            JOIN trading_exitleg l ON l.instrument_id = q.instrument_id AND l.status = 'live'
                AND l.kind IN ('stop_loss', 'take_profit') AND l.since <= q.received_at
                AND ((l.rises AND l.level <= q.price) OR (NOT l.rises AND l.level >= q.price))
            WHERE q.received_at < clock_timestamp() - interval %(bound)s AND NOT EXISTS (
                SELECT FROM trading_order o WHERE o.position_id = l.position_id AND o.purpose = 'exit'
                    AND o.status NOT IN ('filled', 'cancelled', 'rejected', 'expired'))
        """,
    ),
    Invariant(
        id="I2t",
        name=f"Every stored tick that crossed a level has its exit, within {BOUND} (the newest legs of positions)",
        query="""
            SELECT l.position_id, l.id, l.kind, l.level, t.price, t.trade_id FROM (
                SELECT l.*, coalesce(e.recorded_at, p.closed_at, 'infinity') AS until FROM trading_exitleg l
                JOIN trading_position p ON p.id = l.position_id
                LEFT JOIN LATERAL (
                    SELECT min(recorded_at) AS recorded_at FROM trading_exit e WHERE e.position_id = l.position_id
                ) e ON true
                WHERE l.kind IN ('stop_loss', 'take_profit') AND l.status <> 'cancelled'
                ORDER BY l.id DESC LIMIT %(latest)s
            ) l
            CROSS JOIN LATERAL (
                SELECT t.price, t.trade_id, t.received_at FROM market.ticks t
                WHERE t.instrument_id = l.instrument_id AND t.received_at >= l.since AND NOT t.refilled
                    AND t.received_at < least(l.until, clock_timestamp()) - interval %(bound)s
                    AND t.at > l.since - interval '1 minute'
                    AND t.at < least(l.until, clock_timestamp()) + interval '1 minute'
                    AND ((l.rises AND t.price >= l.level) OR (NOT l.rises AND t.price <= l.level))
                ORDER BY t.at LIMIT 1
            ) t
            WHERE l.since < least(l.until, clock_timestamp()) - interval %(bound)s
        """,
    ),
    Invariant(
        id="I3",
        name="The books balance: every line sums to zero, holdings are what open positions cost, fees and profit agree",
        query="""
            SELECT 'line', l.id::text, (cash + holdings + fees + pnl + capital)::text FROM trading_ledgerentry l
            WHERE cash + holdings + fees + pnl + capital <> 0
            UNION ALL
            SELECT 'account', coalesce(b.account_id, p.account_id)::text || ' ' || coalesce(b.currency, p.currency),
                concat_ws(' ', coalesce(b.holdings, 0) - coalesce(p.cost, 0), coalesce(b.fees, 0) - coalesce(p.fees, 0),
                    coalesce(b.pnl, 0) + coalesce(p.pnl, 0))
            FROM (
                SELECT account_id, currency, sum(holdings) AS holdings, sum(fees) AS fees, sum(pnl) AS pnl
                FROM trading_ledgerentry WHERE kind NOT IN ('fee', 'adjust') GROUP BY account_id, currency
            ) b
            FULL JOIN (
                SELECT p.account_id, i.quote_currency AS currency, sum(p.fees) AS fees, sum(p.realised_pnl) AS pnl,
                    sum(CASE p.side WHEN 'long' THEN p.cost ELSE -p.cost END) AS cost
                FROM trading_position p JOIN market_instrument i ON i.id = p.instrument_id
                GROUP BY p.account_id, i.quote_currency
            ) p ON p.account_id = b.account_id AND p.currency = b.currency
            WHERE coalesce(b.holdings, 0) <> coalesce(p.cost, 0) OR coalesce(b.fees, 0) <> coalesce(p.fees, 0)
                OR coalesce(b.pnl, 0) <> -coalesce(p.pnl, 0)
            UNION ALL
            SELECT 'fill', f.id::text, concat_ws(' ', count(l.id), f.fee_asset, f.fee_paid) FROM trading_fill f
            JOIN market_instrument i ON i.id = f.instrument_id
            LEFT JOIN trading_ledgerentry l ON l.fill_id = f.id GROUP BY f.id, i.id
            HAVING count(l.id) FILTER (WHERE l.kind <> 'fee') <> 1
                OR count(l.id) FILTER (WHERE l.kind = 'fee' AND l.currency = f.fee_asset AND l.fees = f.fee_paid)
                    <> CASE WHEN f.fee_asset NOT IN ('', upper(i.base_currency)) AND f.fee_paid <> 0 THEN 1 ELSE 0 END
        """,
    ),
    Invariant(
        id="I7",
        name=f"No exit waits for longer than {BOUND}, unless an order of its position is on its way",
        query="""
            SELECT e.id, e.position_id, e.reason, e.recorded_at, e.note FROM trading_exit e
            LEFT JOIN LATERAL (
                SELECT bool_or(o.status NOT IN ('filled', 'cancelled', 'rejected', 'expired')) AS works,
                    max(o.ended_at) AS ended_at
                FROM trading_order o WHERE o.position_id = e.position_id AND o.purpose IN ('exit', 'protect')
            ) o ON true
            WHERE e.status IN ('triggered', 'claimed') AND o.works IS NOT TRUE
                AND greatest(e.recorded_at, o.ended_at) < clock_timestamp() - interval %(bound)s
        """,
    ),
    Invariant(
        id="I8",
        name="No exposure the wrong way: a position holds at most what was opened, its fills face the right way",
        query="""
            SELECT id, side, quantity, remaining FROM trading_position
            WHERE remaining < 0 OR remaining > quantity OR (status = 'closed') <> (remaining = 0)
            UNION ALL
            SELECT p.id, p.side, f.quantity, NULL FROM trading_fill f JOIN trading_position p ON p.id = f.position_id
            WHERE f.buy <> ((p.side = 'long') = (f.exit_id IS NULL))
        """,
    ),
    Invariant(
        id="I10",
        name="Every opening and every closing is in the journal, exactly once",
        query="""
            SELECT p.id, p.status, count(c.id), count(d.id) FROM trading_position p
            LEFT JOIN journal_event c ON c.subject = 'position:' || p.id AND c.kind = 'position.created'
            LEFT JOIN journal_event d ON d.subject = 'position:' || p.id AND d.kind = 'position.closed'
            GROUP BY p.id HAVING count(DISTINCT c.id) <> 1
                OR count(DISTINCT d.id) <> CASE WHEN p.status = 'closed' THEN 1 ELSE 0 END
        """,
    ),
    Invariant(
        id="I11",
        name="No leg is executed twice, and none stays live on a closed position",
        query="""
            SELECT l.position_id, l.id, l.status, count(e.id) FROM trading_exitleg l
            JOIN trading_position p ON p.id = l.position_id
            LEFT JOIN trading_exit e ON e.leg_id = l.id AND e.status = 'done'
            GROUP BY l.id, p.id
            HAVING count(e.id) <> CASE WHEN l.status = 'done' THEN 1 ELSE 0 END
                OR (l.status = 'live' AND p.status = 'closed')
        """,
    ),
)
_JOURNAL: Sequence[Invariant] = (
    Invariant(
        id="J1",
        name="The journal is as it was sealed: no event was changed, taken out or slipped in",
        query=seals.BROKEN,
    ),
)
INVARIANTS: Sequence[Invariant] = (*_POSITIONS, *ORDERS, *_JOURNAL)


def check(examples: int = 5, bound: str = BOUND) -> list[Finding]:
    """Ask every invariant and return what was found; the tick store is asked where it is in the same database.

    `bound` is how late may be: after a run that has settled, "0 seconds".
    """
    findings = []
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '10min'")
        for invariant in INVARIANTS:
            if invariant.id == "I2t" and settings.MARKET_DATABASE_URL != settings.DATABASE_URL:
                continue
            cursor.execute(invariant.query, {"bound": bound, "latest": _LATEST, "stuck": STUCK})
            rows = cursor.fetchall()
            shown = [[str(value) for value in row] for row in rows[:examples]]
            findings.append(Finding(id=invariant.id, name=invariant.name, violations=len(rows), examples=shown))
        cursor.execute("RESET statement_timeout")
    return findings
