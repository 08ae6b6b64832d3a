"""Taking back the entry orders of a scope in which trading is stopped."""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from apps.domain.orders import Purpose
from apps.domain.restrictions import Scope
from apps.domain.states import ENDED_ORDERS
from apps.strategies.models import Signal
from apps.trading import locks, selectors
from apps.trading.models import Order
from apps.trading.services import ordering


def withdraw(scope: Scope, target: int, *, now: datetime, why: str, actor: str) -> int:
    """Ask for every entry order of a scope to be taken back, in a transaction; return how many were asked for now.

    What was not sent yet ends here; the rest is taken back by whoever sends orders next.
    """
    ids = list(_entries(scope, target).values_list("pk", flat=True))
    if not ids:
        return 0
    with transaction.atomic():
        return ordering.ask_back(locks.orders(ids), now=now, why=why, actor=actor)


def coming(strategy_ids: Collection[int]) -> QuerySet[Order]:
    """Return the entry orders of strategies that have led to no lot yet and may still do so."""
    rows = Order.objects.filter(purpose=Purpose.ENTRY, decision__strategy_id__in=strategy_ids, position=None)
    return rows.exclude(status__in=ENDED_ORDERS)


def follow(signal: Signal, account_id: int, *, now: datetime) -> int:
    """Take back what an earlier bar's signal ordered and this one no longer wants; return how many were asked for."""
    rows = coming([signal.strategy_id]).filter(
        account_id=account_id, instrument_id=signal.instrument_id, decision__signal__bar_at__lt=signal.bar_at
    )
    unwanted = rows if not signal.stance else rows.filter(buy=signal.stance < 0)
    ids = list(unwanted.values_list("pk", flat=True))
    if not ids:
        return 0
    why = f"signal {signal.pk}: the stance became {signal.stance:+d}"
    with transaction.atomic():
        return ordering.ask_back(locks.orders(ids), now=now, why=why, actor=f"strategy:{signal.strategy_id}")


def enforce(*, now: datetime) -> int:
    """Take back what still works in a scope where trading is stopped, whatever became of the first request."""
    return sum(
        withdraw(Scope(row.scope), row.target, now=now, why=f"trading is {row.state}: {row.reason}", actor=row.actor)
        for row in selectors.restrictions()
    )


def _entries(scope: Scope, target: int) -> QuerySet[Order]:
    rows = Order.objects.filter(purpose=Purpose.ENTRY, cancel_asked_at=None).exclude(status__in=ENDED_ORDERS)
    return {
        Scope.SITE: rows,
        Scope.ACCOUNT: rows.filter(account_id=target),
        Scope.INSTRUMENT: rows.filter(instrument_id=target),
        Scope.STRATEGY: rows.filter(decision__strategy_id=target),
    }[scope].order_by("pk")
