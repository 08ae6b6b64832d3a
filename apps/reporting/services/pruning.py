"""Forgetting what was dealt with long ago; what waits or was given up stays until a person has seen to it."""

from datetime import datetime

from apps.reporting.models import BindingCode, Confirmation, Delivery, DeliveryStatus, Update

_DONE = (DeliveryStatus.SENT, DeliveryStatus.MERGED, DeliveryStatus.REPEATED)


def prune(*, before: datetime) -> int:
    """Delete deliveries, updates and codes that ended before an instant, and return how many rows."""
    done = Delivery.objects.filter(status__in=_DONE, happened_at__lt=before, due_at__lt=before)
    rows = (
        done,
        Update.objects.filter(answered_at__lt=before),
        Confirmation.objects.filter(expires_at__lt=before),
        BindingCode.objects.filter(expires_at__lt=before),
    )
    return sum(each.delete()[0] for each in rows)
