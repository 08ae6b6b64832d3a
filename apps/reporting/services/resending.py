"""Sending again by hand what was given up, or what did not reach anybody."""

from datetime import datetime

from django.db import transaction

from apps.domain.errors import Problem, Refused
from apps.journal import services as journal
from apps.reporting import locks
from apps.reporting.models import Delivery, DeliveryStatus

_AGAIN = frozenset({DeliveryStatus.DEAD, DeliveryStatus.SENT, DeliveryStatus.REPEATED})


def resend(delivery_id: int, *, now: datetime, actor: str) -> Delivery:
    """Let a delivery be sent once more, with all its tries before it. Raises Refused while it is still under way."""
    with transaction.atomic():
        row = locks.delivery(delivery_id)
        if row.status not in _AGAIN:
            rule, remedy = f"is {row.status}", "wait until it was sent or given up"
            raise Refused(Problem(field="delivery", value=f"#{row.pk}", rule=rule, remedy=remedy))
        row.status, row.tries, row.due_at = DeliveryStatus.WAITING, 0, now
        row.save(update_fields=["status", "tries", "due_at"])
        payload = {"delivery": row.pk, "channel": row.channel_id, "about": row.kind, "title": row.title}
        journal.record("delivery.resent", f"delivery:{row.pk}", account_id=row.account_id, actor=actor, payload=payload)
    return row
