"""What must always be true of orders, each as one query that returns nothing when it is."""

from collections.abc import Sequence

from apps.ops.invariant import Invariant

STUCK = "1 minute"  # an order that nobody has asked the venue about for longer is forgotten

ORDERS: Sequence[Invariant] = (
    Invariant(
        id="O1",
        name="What an order has filled is the sum of its fills, none of them counted twice",
        query="""
            SELECT o.id, o.filled, sum(f.quantity), o.notional, sum(f.quantity * f.price) FROM trading_order o
            LEFT JOIN trading_fill f ON f.order_id = o.id GROUP BY o.id
            HAVING o.filled <> coalesce(sum(f.quantity), 0)
                OR abs(o.notional - coalesce(sum(f.quantity * f.price), 0)) > 0.000000000001 * (count(f.id) + 1)
        """,
    ),
    Invariant(
        id="O2",
        name="An exit has one live order at most",
        query="""
            SELECT exit_id, count(*) FROM trading_order
            WHERE exit_id IS NOT NULL AND status NOT IN ('filled', 'cancelled', 'rejected', 'expired')
            GROUP BY exit_id HAVING count(*) > 1
        """,
    ),
    Invariant(
        id="O3",
        name="No order of a closed position works on without having been asked back",
        query="""
            SELECT o.id, o.purpose, o.status, p.id FROM trading_order o JOIN trading_position p ON p.id = o.position_id
            WHERE p.status = 'closed' AND o.cancel_asked_at IS NULL
                AND o.status NOT IN ('filled', 'cancelled', 'rejected', 'expired')
        """,
    ),
    Invariant(
        id="O4",
        name="No order is filled beyond its quantity, or beyond the lot it leaves, in silence",
        query="""
            SELECT o.id, o.quantity, o.filled FROM trading_order o WHERE o.filled > o.quantity AND NOT EXISTS (
                SELECT FROM journal_event e WHERE e.subject = 'order:' || o.id AND e.kind = 'order.questioned')
            UNION ALL
            SELECT o.id, o.quantity, o.filled FROM trading_order o JOIN trading_fill f ON f.order_id = o.id
            WHERE o.purpose <> 'entry' AND f.exit_id IS NULL AND NOT EXISTS (
                SELECT FROM journal_event e WHERE e.subject = 'order:' || o.id AND e.kind = 'order.exceeded')
        """,
    ),
    Invariant(
        id="O5",
        name="What a position opened is the sum of the fills that opened it",
        query="""
            SELECT p.id, p.quantity, sum(coalesce(f.net, f.quantity)) FROM trading_position p
            LEFT JOIN trading_fill f ON f.position_id = p.id AND f.exit_id IS NULL
            GROUP BY p.id HAVING p.quantity <> coalesce(sum(coalesce(f.net, f.quantity)), 0)
        """,
    ),
    Invariant(
        id="O6",
        name=f"No order is forgotten: none is being sent, or due to be asked about, for longer than {STUCK}",
        query="""
            SELECT id, client_id, status, sent_at, look_at FROM trading_order
            WHERE (status = 'submitting' AND sent_at < clock_timestamp() - interval %(stuck)s)
                OR (status NOT IN ('filled', 'cancelled', 'rejected', 'expired')
                    AND look_at < clock_timestamp() - interval %(stuck)s)
                OR (status = 'unknown' AND look_at IS NULL)
        """,
    ),
    Invariant(
        id="O7",
        name=f"No venue keeps back for longer than {STUCK} the executions of what it says is filled",
        query="""
            SELECT id, client_id, status, filled, claimed FROM trading_order
            WHERE claimed > filled AND sent_at < clock_timestamp() - interval %(stuck)s
        """,
    ),
)
