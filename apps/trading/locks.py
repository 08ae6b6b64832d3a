"""Every row lock of the product.

Order of tables: restriction, account, position, exit leg, exit. Rows of one table in order of their primary key. Only
the position is locked to leave it: its legs and exits change under its lock alone. Functions return lists, never lazy
querysets: an unevaluated lock locks nothing.
"""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from apps.domain.restrictions import Scope
from apps.domain.states import ExitStatus
from apps.trading.models import Account, Exit, Position, Restriction
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


_LEAVE = Statement(
    "positions_to_leave",
    """
    SELECT p.id, p.account_id, p.instrument_id, p.side, p.quantity, p.remaining, p.cost, p.entry_price,
        p.exit_notional, p.fees, p.realised_pnl, p.opened_at, i.symbol, i.shard, i.quote_currency, i.tick_size,
        i.lot_size, a.fee_rate, a.fee_fixed, a.slippage_rate, a.slippage_fixed, q.price, q.bid, q.ask, q.received_at,
        clock_timestamp()
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
