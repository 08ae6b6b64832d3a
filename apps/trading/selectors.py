"""Reading accounts and what hangs on them: one rule says who sees what, for the API, the gateway and the admin."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin
from django.db import connection
from django.db.models import Count, F, Model, Prefetch, Q, QuerySet
from django.db.models.functions import Coalesce

from apps.domain import numbers
from apps.domain.legs import ExitReason
from apps.domain.restrictions import Scope
from apps.domain.sides import Side
from apps.domain.states import LIVE_EXITS, ExitStatus, PositionStatus
from apps.journal.models import Event
from apps.trading.models import Account, Discrepancy, Exit, Order, Position, Resolution, Restriction

Caller = AbstractBaseUser | AnonymousUser
Row = TypeVar("Row", bound=Model)
SEES_ALL: Final = "access.see_all_accounts"  # risk officers and administrators have it, see apps/access/roles.py


def for_user(user: Caller) -> QuerySet[Account]:
    """Return the accounts a person may see: who oversees all of them, anybody else their own, a stranger none."""
    if not user.is_authenticated or not user.is_active:
        return Account.objects.none()
    return Account.objects.all() if sees_all(user) else Account.objects.filter(owner_id=user.pk)


def sees_all(user: Caller) -> bool:
    """Say whether a person sees everybody's accounts, and what belongs to no account: superusers, and by right."""
    return bool(user.is_active and isinstance(user, PermissionsMixin) and user.has_perm(SEES_ALL))


def positions(user: Caller) -> QuerySet[Position]:
    """Return the positions a person may see, newest first."""
    rows = Position.objects.select_related("instrument")
    return rows if sees_all(user) else rows.filter(account__in=for_user(user))


def positions_in_full(user: Caller) -> QuerySet[Position]:
    """Return the positions a person may see with their legs and exits, in three queries however many there are."""
    ways_out = Prefetch("exits", Exit.objects.select_related("drain").order_by("id"))
    return positions(user).prefetch_related("legs", ways_out)


def exits(user: Caller) -> QuerySet[Exit]:
    """Return the exits a person may see, newest first."""
    rows = Exit.objects.select_related("drain", "position__instrument")
    return rows if sees_all(user) else rows.filter(position__account__in=for_user(user))


def events(user: Caller) -> QuerySet[Event]:
    """Return the events a person may see, newest first; what belongs to no account is for who sees all."""
    rows = Event.objects.all()
    return rows if sees_all(user) else rows.filter(account_id__in=for_user(user).values("id"))


def hanging_on(rows: QuerySet[Row], user: Caller) -> QuerySet[Row]:
    """Return those rows with an account that belong to accounts a person may see."""
    return rows if sees_all(user) else rows.filter(account__in=for_user(user))


def placed(rows: QuerySet[Row], user: Caller) -> QuerySet[Row]:
    """Return those rows with a scope that a person may see: all but what is about accounts of others."""
    if sees_all(user):
        return rows
    mine = Q(scope=Scope.ACCOUNT, target__in=for_user(user).values("pk"))
    return rows.filter(~Q(scope=Scope.ACCOUNT) | mine)


def orders(user: Caller) -> QuerySet[Order]:
    """Return the orders a person may see, newest first."""
    return hanging_on(Order.objects.select_related("instrument"), user)


def lots() -> QuerySet[Position]:
    """Return the positions that strategies opened and hold, those being left not among them."""
    leaving = Exit.objects.filter(leg=None, status__in=LIVE_EXITS).values("position_id")
    held = Position.objects.filter(signal__isnull=False).exclude(status=PositionStatus.CLOSED)
    return held.exclude(pk__in=leaving)


def restrictions() -> list[Restriction]:
    """Return where trading is stopped at present; empty when it is allowed everywhere."""
    return list(Restriction.objects.all())


def discrepancies(user: Caller) -> QuerySet[Discrepancy]:
    """Return the open differences between venues and the accounts a person may see, newest first."""
    rows = Discrepancy.objects.filter(resolution=Resolution.OPEN)
    return rows if sees_all(user) else rows.filter(account__in=for_user(user))


def default_account(user: Caller) -> Account | None:
    """Return a person's own first account, the one used when none is named."""
    return Account.objects.filter(owner_id=user.pk).order_by("id").first() if user.is_authenticated else None


def of_request(account_id: int, request_key: str) -> Position | None:
    """Return the position that an earlier request with this key opened on the account, or None."""
    rows = Position.objects.select_related("instrument")
    return rows.filter(account_id=account_id, request_key=request_key).first()


def order_of_request(account_id: int, request_key: str) -> Order | None:
    """Return the order that an earlier request with this key led to on the account, or None."""
    rows = Order.objects.select_related("instrument", "position__instrument")
    return rows.filter(account_id=account_id, request_key=request_key).first()


def tick_to_close_ms(exit_: Exit) -> float | None:
    """Return milliseconds from the arrival of the price to the commit of the close; None while it is not done."""
    committed = exit_.drain.committed_at if exit_.drain else None
    until = committed or exit_.closed_at
    if until is None or exit_.status != ExitStatus.DONE:
        return None
    return round((until - exit_.tick_at).total_seconds() * 1000, 3)


# --- balances -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What an account has in one currency, seen by its owner: profits and deposits are positive."""

    currency: str
    cash: Decimal
    holdings: Decimal  # open positions at cost, shorts negative
    fees: Decimal
    pnl: Decimal  # profit taken, before fees
    deposits: Decimal
    unrealised_pnl: Decimal | None  # None when a price is missing
    equity: Decimal | None


# Every line up to the highest number of `trading_balance`, of whatever currency, was carried forward into it, see
# apps/trading/books.py. An account's newer ones are found by its index: else the whole ledger would be read.
_BALANCES = """
WITH lines AS (
    SELECT account_id, currency, cash, holdings, fees, pnl, capital FROM trading_balance
    WHERE account_id = ANY(%(accounts)s)
    UNION ALL
    SELECT l.account_id, l.currency, l.cash, l.holdings, l.fees, l.pnl, l.capital
    FROM unnest(%(accounts)s::bigint[]) AS a(id)
    CROSS JOIN LATERAL (
        SELECT coalesce(max(b.through), 0) AS through FROM trading_balance b WHERE b.account_id = a.id
    ) AS carried
    CROSS JOIN LATERAL (
        SELECT e.* FROM trading_ledgerentry e WHERE e.account_id = a.id AND e.id > carried.through
        ORDER BY e.account_id, e.id DESC
    ) AS l
)
SELECT account_id, currency, sum(cash), sum(holdings), sum(fees), -sum(pnl), -sum(capital)
FROM lines GROUP BY account_id, currency ORDER BY account_id, currency
"""
_WORTH = """
SELECT p.account_id, i.quote_currency, sum(CASE p.side WHEN %(long)s THEN 1 ELSE -1 END * p.remaining * q.price),
    bool_and(q.price IS NOT NULL)
FROM trading_position p JOIN market_instrument i ON i.id = p.instrument_id
LEFT JOIN market_quote q ON q.instrument_id = p.instrument_id
WHERE p.account_id = ANY(%(accounts)s) AND p.status = ANY(%(held)s)
GROUP BY p.account_id, i.quote_currency
"""
_HELD = [str(status) for status in PositionStatus if status != PositionStatus.CLOSED]


def balances(account_ids: Iterable[int]) -> dict[int, list[Balance]]:
    """Return the balances of accounts per currency, from the ledger, with open positions at the latest quotes."""
    found: dict[int, list[Balance]] = {key: [] for key in account_ids}
    names: dict[str, Any] = {"accounts": list(found), "long": Side.LONG, "held": _HELD}
    with connection.cursor() as cursor:
        cursor.execute(_WORTH, names)
        worth = {(account, currency): value if known else None for account, currency, value, known in cursor}
        cursor.execute(_BALANCES, names)
        for account, currency, cash, holdings, fees, pnl, deposits in cursor:
            value = worth.get((account, currency), Decimal(0))
            balance = Balance(
                currency=currency,
                cash=cash,
                holdings=holdings,
                fees=fees,
                pnl=pnl,
                deposits=deposits,
                unrealised_pnl=None if value is None else numbers.money(value - holdings),
                equity=None if value is None else numbers.money(cash + value),
            )
            found[account].append(balance)
    return found


# --- figures of the whole site --------------------------------------------------------------------------------------
class Waiting(NamedTuple):
    """How many exits have not been executed yet, and when the oldest of them was written."""

    exits: int
    oldest: datetime | None


def open_positions() -> dict[str, int]:
    """Return how many positions are open per instrument symbol."""
    rows = Position.objects.exclude(status=PositionStatus.CLOSED).values_list("instrument__symbol")
    return dict(rows.annotate(Count("id")).order_by("instrument__symbol"))


def exits_by_status() -> dict[str, int]:
    """Return how many exits there are per status."""
    return dict(Exit.objects.values_list("status").annotate(Count("id")).order_by("status"))


# One branch for each status: an index that holds those of one status answers each, none answers both together.
_WAITING = """
SELECT count(*), min(recorded_at) FROM (
    SELECT recorded_at FROM trading_exit WHERE status = 'triggered'
    UNION ALL SELECT recorded_at FROM trading_exit WHERE status = 'claimed'
) AS waiting
"""


def exits_waiting() -> Waiting:
    """Return how many exits wait to be executed and since when."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING)
        return Waiting(*cursor.fetchone())


def exit_latencies(*, since: datetime, limit: int) -> list[float]:
    """Return the seconds from tick (or wish) to commit of the newest exits since an instant, in no order.

    Time stops are left out: they wait for the sweeper's next look by design.
    """
    done = Exit.objects.filter(status=ExitStatus.DONE, closed_at__gte=since).exclude(reason=ExitReason.TIME_STOP)
    rows = done.order_by("-closed_at")
    spans = rows.annotate(until=Coalesce("drain__committed_at", "closed_at")).values_list(F("until") - F("tick_at"))
    return [span.total_seconds() for (span,) in spans[:limit]]
