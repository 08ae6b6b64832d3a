"""From the journal to deliveries: each event once per route, in the transaction that moves the place."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from apps.reporting.models import Delivery
from apps.reporting.services import following, routing


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """What one look at the journal came to; `more` says that it is worth looking again at once."""

    events: int = 0
    deliveries: int = 0
    more: bool = False


def dispatch(now: datetime, *, limit: int = 500) -> Dispatched:
    """Take what is new in the journal and store the deliveries it leads to; nothing while somebody else does."""
    following.begin(now)
    with transaction.atomic():
        place = following.locked()
        if place is None:
            return Dispatched()
        events = following.take(place, now=now, limit=limit)
        made = routing.deliveries(events, now=now)
        Delivery.objects.bulk_create(made, ignore_conflicts=True)  # an event that was taken before is not told twice
    return Dispatched(events=len(events), deliveries=len(made), more=len(events) >= limit)
