"""Every row lock of the product.

Order of tables: violation, restriction, account, position, exit leg, exit, order. Rows of one table in order of their
primary key. Only the position is locked to leave it: its legs and exits change under its lock alone. Functions return
lists, never lazy querysets: an unevaluated lock locks nothing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from apps.domain.restrictions import Scope
from apps.domain.states import ENDED_ORDERS, ExitStatus, OrderStatus
from apps.trading.models import Account, Exit, Order, Position, Restriction, Violation
from apps.trading.statements import Statement


def account(account_id: int) -> Account:
    """Lock the account whose money is about to be used up."""
    return Account.objects.select_for_update(no_key=True).get(pk=account_id)


def accounts(account_id: int | None) -> list[Account]:
    """Lock one account or all of them: whatever was being opened there is open when this returns."""
    rows = Account.objects.select_for_update(no_key=True).order_by("pk")
    return list(rows if account_id is None else rows.filter(pk=account_id))


def position(position_id: int) -> Position:
    """Lock one position, waiting for whoever holds it."""
    rows = Position.objects.select_for_update(of=("self",), no_key=True).select_related("instrument", "account")
    return rows.get(pk=position_id)


def restriction(scope: Scope, target: int) -> Restriction | None:
    """Lock what is said of a scope, if anything is."""
    return Restriction.objects.select_for_update().filter(scope=scope, target=target).first()


def violation(violation_id: int) -> Violation | None:
    """Lock a breach that is to be acted upon, if it still stands."""
    rows = Violation.objects.select_for_update(of=("self",), no_key=True).select_related("account", "limit")
    return rows.filter(pk=violation_id, ended_at=None).first()


class Locked(NamedTuple):
    """A locked position with everything its settlement depends on but its exits."""

    id: int
    account_id: int
    instrument_id: int
    side: str
    quantity: Decimal
    remaining: Decimal
    cost: Decimal
    entry_price: Decimal
    exit_notional: Decimal
    fees: Decimal
    realised_pnl: Decimal
    opened_at: datetime
    symbol: str
    shard: int
    currency: str
    tick_size: Decimal
    lot_size: Decimal
    fee_rate: Decimal
    fee_fixed: Decimal
    slippage_rate: Decimal
    slippage_fixed: Decimal
    market_price: Decimal | None  # the quote in force, if there has been one
    market_bid: Decimal | None
    market_ask: Decimal | None
    market_at: datetime | None
    locked_at: datetime  # by the database's clock, the one all latencies are measured against
    instant: bool  # filled and booked here and now, without an order at a broker


_LEAVE = Statement(
    "positions_to_leave",
    """
    SELECT p.id, p.account_id, p.instrument_id, p.side, p.quantity, p.remaining, p.cost, p.entry_price,
        p.exit_notional, p.fees, p.realised_pnl, p.opened_at, i.symbol, i.shard, i.quote_currency, i.tick_size,
        i.lot_size, a.fee_rate, a.fee_fixed, a.slippage_rate, a.slippage_fixed, q.price, q.bid, q.ask, q.received_at,
        clock_timestamp(), a.instant
    FROM trading_position p
    JOIN market_instrument i ON i.id = p.instrument_id
    JOIN trading_account a ON a.id = p.account_id
    LEFT JOIN market_quote q ON q.instrument_id = p.instrument_id
    WHERE p.id IN (
        SELECT e.position_id FROM trading_exit e
        WHERE e.status = 'triggered' AND e.position_id = coalesce(:only::bigint, e.position_id)
        ORDER BY e.id LIMIT :exits::int
    )
    ORDER BY p.id LIMIT :positions::int
    FOR NO KEY UPDATE OF p SKIP LOCKED
    """,
)


def positions_to_leave(limit: int, *, only: int | None = None) -> list[Locked]:
    """Lock up to `limit` positions (or one) that have exits waiting, skipping those another worker holds.

    A position may come back although its exits were executed in the meantime: read the exits after this.
    """
    return [Locked._make(row) for row in _LEAVE.run(only=only, exits=limit * 2, positions=limit)]


def positions_waiting(limit: int) -> list[int]:
    """Return the positions whose exits have waited longest, without locking them."""
    waiting = Exit.objects.filter(status=ExitStatus.TRIGGERED).order_by("id")
    return list(dict.fromkeys(waiting.values_list("position_id", flat=True)[: limit * 2]))


# --- orders ---------------------------------------------------------------------------------------------------------
class Step(NamedTuple):
    """What is to be done about an order next."""

    order_id: int
    account_id: int
    position_id: int | None
    act: str  # expire, place, lost, cancel, amend, look


# An exit waits for the stop of its position to be gone from the venue: both together would sell twice. An entry waits a
# while for its account to agree with its venue.
_ORDERS_DUE = """
SELECT id, account_id, position_id, act FROM (
    SELECT o.id, o.account_id, o.position_id, o.purpose, CASE
        WHEN o.cancel_asked_at IS NULL AND o.status IN ('new', 'accepted', 'partially_filled')
            AND least(o.due_at, CASE WHEN o.status = 'new' OR o.expires_at < %(now)s - interval '5 seconds'
                THEN o.expires_at END) <= %(now)s THEN 'expire'
        WHEN o.status = 'new' AND o.cancel_asked_at IS NOT NULL THEN 'cancel'
        WHEN o.status = 'new' AND coalesce(o.look_at <= %(now)s, o.created_at <= clock_timestamp() - %(patience)s)
            AND NOT (o.purpose = 'exit' AND EXISTS (
            SELECT FROM trading_order p WHERE p.position_id = o.position_id AND p.purpose = 'protect'
                AND p.status NOT IN ('filled', 'cancelled', 'rejected', 'expired', 'new')))
            AND NOT (o.purpose = 'entry' AND o.created_at > %(now)s - interval '60 seconds' AND a.broker <> 'paper'
                AND NOT EXISTS (SELECT FROM trading_standing s WHERE s.account_id = a.id AND s.clean_at IS NOT NULL))
            THEN 'place'
        WHEN o.status = 'submitting' AND o.sent_at <= %(lost)s THEN 'lost'
        -- whoever was sending it may have died: the venue is asked, and only an answer changes anything
        WHEN o.status = 'submitting' AND o.sent_at <= %(now)s - interval '2 seconds'
            AND coalesce(o.look_at <= %(now)s, true) THEN 'look'
        WHEN o.status IN ('accepted', 'partially_filled') AND o.cancel_asked_at IS NOT NULL THEN 'cancel'
        WHEN o.status IN ('accepted', 'partially_filled') AND o.amendment IS NOT NULL
            AND coalesce(o.look_at <= %(now)s, true) THEN 'amend'
        WHEN o.status IN ('unknown', 'accepted', 'partially_filled', 'cancelling')
            AND coalesce(o.look_at <= %(now)s, true) THEN 'look'
        END AS act
    FROM trading_order o JOIN trading_account a ON a.id = o.account_id
    WHERE NOT (o.status IN ('cancelled', 'expired', 'filled', 'rejected'))
    UNION ALL
    -- the venue says more was filled than it has told of
    SELECT o.id, o.account_id, o.position_id, o.purpose, 'look' FROM trading_order o
    WHERE o.status IN ('cancelled', 'expired', 'filled', 'rejected') AND o.look_at <= %(now)s
) found
WHERE act IS NOT NULL AND NOT (account_id = ANY(%(without)s::bigint[]))
ORDER BY CASE
    WHEN act = 'cancel' AND position_id IS NOT NULL THEN 0
    WHEN purpose = 'exit' THEN 1
    WHEN act = 'look' THEN 3
    ELSE 2 END, id
LIMIT %(limit)s
"""


def orders_due(
    limit: int,
    *,
    now: datetime,
    lost_before: datetime,
    without: Sequence[int] = (),
    patience: timedelta = timedelta(0),
) -> list[Step]:
    """Return what is to be done about orders at this instant, what protects first, without locking anything.

    `without` are accounts to leave out; `patience` is how long a new order is left to others.
    """
    values: dict[str, Any] = {
        "now": now,
        "lost": lost_before,
        "limit": limit,
        "without": list(without),
        "patience": patience,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ORDERS_DUE, values)
        return [Step._make(row) for row in cursor]


def order(order_id: int) -> Order:
    """Lock one order, waiting for whoever holds it; its position, if it has one, must be locked before."""
    rows = Order.objects.select_for_update(of=("self",), no_key=True)
    return rows.select_related("account", "instrument", "decision").get(pk=order_id)


def orders(order_ids: Sequence[int]) -> list[Order]:
    """Lock those of some orders that have not ended and that nobody holds at this moment; the others wait for a repeat.

    To stop trading waits for nobody, and whoever settles holds an order while it locks others of its position.
    """
    rows = Order.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
    rows = rows.select_related("instrument", "account")
    return list(rows.filter(pk__in=order_ids).exclude(status__in=ENDED_ORDERS).order_by("pk"))


def order_of(step: Step, *statuses: OrderStatus) -> Order | None:
    """Lock an order, and its position before it, if it still has one of these statuses; None when another is first."""
    if step.position_id is not None:
        position(step.position_id)
    return free_order(step.order_id, *statuses)


def free_order(order_id: int, *statuses: OrderStatus) -> Order | None:
    """Lock an order that has one of these statuses and that nobody holds; its position must be locked already."""
    rows = Order.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
    related = rows.select_related("account", "instrument", "decision")
    return related.filter(pk=order_id, status__in=statuses).first()


def live_orders(position_id: int) -> list[Order]:
    """Lock the orders of a locked position that have not ended."""
    rows = Order.objects.select_for_update(of=("self",), no_key=True).filter(position_id=position_id)
    return list(rows.exclude(status__in=ENDED_ORDERS).order_by("pk"))
