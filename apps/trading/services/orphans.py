"""Orders that work on although their position is closed: what was filled at once closed it, and knows of no orders."""

from datetime import datetime

from django.db import transaction

from apps.domain.states import ENDED_ORDERS, PositionStatus
from apps.trading import locks
from apps.trading.models import Order
from apps.trading.services import ordering


def take_back(*, now: datetime, limit: int) -> int:
    """Ask for the working orders of up to `limit` closed positions to be taken back; return how many were asked now."""
    working = Order.objects.filter(cancel_asked_at=None).exclude(status__in=ENDED_ORDERS)
    orphaned = working.filter(position__status=PositionStatus.CLOSED).order_by("position_id")
    asked = 0
    for position_id in orphaned.values_list("position_id", flat=True).distinct()[:limit]:
        if position_id is not None:
            with transaction.atomic():
                locks.position(position_id)
                asked += ordering.ask_back(locks.live_orders(position_id), now=now, why="its position is closed")
    return asked
