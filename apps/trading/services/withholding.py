"""What waits because the site's switch for real money is off: each order is told of once, and tried again with a pause.

Entries end instead (`placing`); what only asks how things stand at the venue goes on.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from apps.domain.orders import Purpose
from apps.domain.states import OrderStatus
from apps.journal.models import Event
from apps.trading import locks
from apps.trading.models import Order
from apps.trading.services import ordering, switches

PAUSE: Final = timedelta(seconds=10)
WHY: Final = "NOT SENT: it would move real money, and the site's switch is off (set LIVE_TRADING=1 and start anew)"
_WORKING: Final = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)


def hold_back(*, now: datetime) -> int:
    """Let what leaves positions with real money wait while the site's switch is off; return how many were told of now.

    Exits and stops that were not sent wait for PAUSE; requests to take back or change an order stay as they are.
    """
    if settings.LIVE_TRADING:
        return 0
    ids = [row.pk for row in _candidates(now) if switches.is_real(row.account)]
    if not ids:
        return 0
    with transaction.atomic():
        return _postpone(locks.orders(ids), now)


def _candidates(now: datetime) -> Iterable[Order]:
    due = Q(look_at=None) | Q(look_at__lte=now)
    unsent = Q(status=OrderStatus.NEW, cancel_asked_at=None) & ~Q(purpose=Purpose.ENTRY) & due
    wished = Q(status__in=_WORKING) & (Q(cancel_asked_at__isnull=False) | Q(amendment__isnull=False)) & ~Q(why=WHY)
    rows = Order.objects.filter(unsent | wished).exclude(account__broker=switches.PAPER)
    return rows.select_related("account__credential").order_by("pk")


def _postpone(orders: list[Order], now: datetime) -> int:
    subjects = {f"order:{order.pk}": order for order in orders}
    known = Event.objects.filter(subject__in=subjects, kind=ordering.Told.POSTPONED, payload__why=WHY)
    told = set(known.values_list("subject", flat=True))
    for subject, order in subjects.items():
        if order.status == OrderStatus.NEW:
            order.look_at = now + PAUSE
        order.why = WHY
        order.save(update_fields=["look_at", "why"])
        if subject not in told:
            ordering.record(ordering.Told.POSTPONED, order, why=WHY, at=now.isoformat())
    return len(set(subjects) - told)
