"""Every row lock of this app. Order of tables: place, channel, delivery, update."""

from datetime import datetime, timedelta

from django.db import connection

from apps.reporting.models import Channel, Delivery, DeliveryStatus, Place, Update, UpdateStatus


def place(name: str) -> Place | None:
    """Lock how far the journal was followed; None when somebody else holds it, or nobody has begun."""
    return Place.objects.select_for_update(skip_locked=True).filter(pk=name).first()


def held(route_id: int, *, now: datetime, limit: int) -> list[Delivery]:
    """Lock what a route gathered and is due, the oldest first; what somebody else holds is left to them."""
    rows = Delivery.objects.select_for_update(skip_locked=True, of=("self",))
    return list(rows.filter(route_id=route_id, status=DeliveryStatus.HELD, due_at__lte=now).order_by("id")[:limit])


_READY = """
SELECT c.id FROM reporting_channel c
WHERE c.enabled AND (c.paused_until IS NULL OR c.paused_until <= %(now)s)
  AND EXISTS (SELECT 1 FROM reporting_delivery d
              WHERE d.channel_id = c.id AND d.status = 'waiting' AND d.due_at <= %(now)s)
  AND NOT EXISTS (SELECT 1 FROM reporting_delivery d WHERE d.channel_id = c.id AND d.status = 'sending')
  AND (SELECT count(*) FROM reporting_attempt a
       WHERE a.channel_id = c.id AND a.began_at > %(minute_ago)s) < c.per_minute
ORDER BY c.id LIMIT 1 FOR UPDATE OF c SKIP LOCKED
"""


def ready_channel(now: datetime) -> Channel | None:
    """Lock a channel that has something to send, may send now, and that nobody sends on; None if there is none.

    A channel sends one message at a time, so its messages keep their order and its pace is counted right. What was
    read before the lock may have changed: the claim under the lock asks again.
    """
    with connection.cursor() as cursor:
        cursor.execute(_READY, {"now": now, "minute_ago": now - timedelta(minutes=1)})
        row = cursor.fetchone()
    return Channel.objects.get(pk=row[0]) if row else None


def channel(channel_id: int) -> Channel:
    """Lock one channel."""
    return Channel.objects.select_for_update().get(pk=channel_id)


def delivery(delivery_id: int) -> Delivery:
    """Lock one delivery."""
    return Delivery.objects.select_for_update().get(pk=delivery_id)


def sending_since(before: datetime, limit: int) -> list[Delivery]:
    """Lock deliveries whose sender fell silent before an instant."""
    rows = Delivery.objects.select_for_update(skip_locked=True)
    silent = rows.filter(status=DeliveryStatus.SENDING, claimed_at__lt=before)
    return list(silent.order_by("id")[:limit])


def next_update(channel_id: int) -> Update | None:
    """Lock the oldest update of a bot that nobody has begun to execute."""
    rows = Update.objects.select_for_update(skip_locked=True, of=("self",))
    return rows.filter(channel_id=channel_id, status=UpdateStatus.STORED).order_by("update_id").first()
