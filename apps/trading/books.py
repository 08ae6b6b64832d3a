"""What the books say: balances derived from the ledger, never stored as truth."""

from dataclasses import dataclass
from decimal import Decimal

from django.db import connection
from django.db.models import Sum

from apps.domain.states import PositionStatus
from apps.trading.models import Account, Position

_BALANCE = """
SELECT coalesce(sum(cash), 0), coalesce(sum(holdings), 0), coalesce(sum(fees), 0), coalesce(sum(pnl), 0),
       coalesce(sum(capital), 0)
FROM (
    SELECT cash, holdings, fees, pnl, capital FROM trading_balance
    WHERE account_id = %(account)s AND currency = %(currency)s
    UNION ALL
    SELECT cash, holdings, fees, pnl, capital FROM trading_ledgerentry
    WHERE account_id = %(account)s AND currency = %(currency)s AND id > coalesce(
        (SELECT through FROM trading_balance WHERE account_id = %(account)s AND currency = %(currency)s), 0)
) AS lines
"""

# A line's number may become visible after a higher one, as late as the longest transaction ends; the settings end
# any after half a minute, so what is older than this can no longer be joined by an earlier line.
_SETTLED = "2 minutes"
_CARRY = """
WITH target AS (
    SELECT coalesce(max(id), 0) AS id FROM trading_ledgerentry WHERE recorded_at < now() - interval %(settled)s
)
INSERT INTO trading_balance AS b (account_id, currency, through, cash, holdings, fees, pnl, capital)
SELECT l.account_id, l.currency, (SELECT id FROM target), sum(l.cash), sum(l.holdings), sum(l.fees), sum(l.pnl),
    sum(l.capital)
FROM trading_ledgerentry l LEFT JOIN trading_balance o ON o.account_id = l.account_id AND o.currency = l.currency
WHERE l.id <= (SELECT id FROM target) AND l.id > coalesce(o.through, 0)
GROUP BY l.account_id, l.currency
ON CONFLICT (account_id, currency) DO UPDATE SET
    through = excluded.through, cash = b.cash + excluded.cash, holdings = b.holdings + excluded.holdings,
    fees = b.fees + excluded.fees, pnl = b.pnl + excluded.pnl, capital = b.capital + excluded.capital
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceSheet:
    """The books of one account in one currency; pnl and capital are negative when the owner gained or paid in."""

    cash: Decimal
    holdings: Decimal  # open positions at cost, shorts negative
    fees: Decimal
    pnl: Decimal
    capital: Decimal


def balance(account: Account) -> BalanceSheet:
    """Return the books of an account in its own currency."""
    with connection.cursor() as cursor:
        cursor.execute(_BALANCE, {"account": account.pk, "currency": account.currency})
        cash, holdings, fees, pnl, capital = cursor.fetchone()
    return BalanceSheet(cash=cash, holdings=holdings, fees=fees, pnl=pnl, capital=capital)


def buying_power(account: Account) -> Decimal:
    """Return what may be spent on new positions: cash and holdings at cost, less what is bound in open positions.

    A short binds its own notional, so an account never owes more than it has put in. Entry orders that may still fill
    hold back what they would cost.
    """
    sheet = balance(account)
    open_ = Position.objects.filter(account=account, status__in=(PositionStatus.OPEN, PositionStatus.CLOSING))
    bound = open_.aggregate(bound=Sum("cost"))["bound"] or Decimal(0)
    return sheet.cash + sheet.holdings - bound - held_back(account)


_HELD_BACK = """
SELECT coalesce(sum((o.quantity - o.filled)
    * coalesce(o.limit_price, o.stop_price, q.price + a.slippage_fixed + q.price * a.slippage_rate, 0)
    * (1 + a.fee_rate) + a.fee_fixed), 0)
FROM trading_order o JOIN trading_account a ON a.id = o.account_id
LEFT JOIN market_quote q ON q.instrument_id = o.instrument_id
WHERE o.account_id = %s AND o.purpose = 'entry'
    AND o.status NOT IN ('cancelled', 'expired', 'filled', 'rejected') AND o.quantity > o.filled
"""


def held_back(account: Account) -> Decimal:
    """Return what the entry orders of an account would cost if all that is open of them were filled, with fees."""
    with connection.cursor() as cursor:
        cursor.execute(_HELD_BACK, [account.pk])
        return Decimal(cursor.fetchone()[0])


def carry_forward() -> int:
    """Add settled ledger lines to the stored balances; return how many balances moved. Safe to run at any time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('trading.balance'))")
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(_CARRY, {"settled": _SETTLED})
        return int(cursor.rowcount)
