"""The paper venue at work: its orders are compared with the prices every second, whether or not anybody asks."""

from dataclasses import dataclass
from datetime import datetime

from apps.domain.states import ENDED_ORDERS, OrderStatus
from apps.trading.brokers import paper_book
from apps.trading.models import Order, PaperOrder

_AT_VENUE = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.CANCELLING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """What one look did: the client ids of the orders that changed; `more` says that others wait for a look."""

    changed: tuple[str, ...] = ()
    more: bool = False


def match_due(now: datetime, limit: int) -> Matched:
    """Compare up to `limit` working orders of the paper venue with the prices, those looked at longest ago first.

    Orders of ours that changed there are due to be asked about at once, as if the venue had sent word. Safe to repeat
    and to run at once in several processes.
    """
    due = PaperOrder.objects.exclude(status__in=ENDED_ORDERS).filter(acts_at__lte=now)
    rows = list(due.select_related("account").order_by("looked_at", "id")[:limit])
    changed = tuple(paper_book.look(rows, now))
    if changed:
        Order.objects.filter(client_id__in=changed, status__in=_AT_VENUE).update(look_at=now)
    return Matched(changed=changed, more=len(rows) == limit)
