"""What was held back for a digest or for quiet hours becomes one message when its time has come."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from django.db import transaction

from apps.reporting import locks
from apps.reporting.models import Delivery, DeliveryStatus
from apps.reporting.severity import Severity

DIGEST: Final = "digest"
_BATCH: Final = 500
_LONGEST: Final = 3000  # characters of one message


def release(now: datetime) -> int:
    """Make messages of what is held and due, and return how many messages."""
    due = Delivery.objects.filter(status=DeliveryStatus.HELD, due_at__lte=now)
    routes = due.order_by("route_id").values_list("route_id", flat=True).distinct()
    return sum(_release(route_id, now) for route_id in list(routes))


def _release(route_id: int, now: datetime) -> int:
    with transaction.atomic():
        rows = locks.held(route_id, now=now, limit=_BATCH)
        groups = list(_groups(rows))
        for group in groups:
            _merge(group, now)
    return len(groups)


def _merge(rows: Sequence[Delivery], now: datetime) -> None:
    """Let one row be sent as it is, and several as one new row."""
    keys = [row.pk for row in rows]
    if len(rows) == 1:
        Delivery.objects.filter(pk=keys[0]).update(status=DeliveryStatus.WAITING, due_at=now)
        return
    first = rows[0]
    accounts = {row.account_id for row in rows}
    whole = Delivery.objects.create(
        event_id=None,
        route_id=first.route_id,
        channel_id=first.channel_id,
        kind=DIGEST,
        subject=f"route:{first.route_id}",
        account_id=accounts.pop() if len(accounts) == 1 else None,
        severity=max((Severity(row.severity) for row in rows), key=lambda each: each.rank),
        title=_title(rows),
        body="\n".join(_line(row) for row in rows),
        happened_at=first.happened_at,
        due_at=now,
    )
    Delivery.objects.filter(pk__in=keys).update(status=DeliveryStatus.MERGED, merged_into=whole)


def _groups(rows: Sequence[Delivery]) -> Iterator[list[Delivery]]:
    """Yield the rows in groups that fit into a message each."""
    group: list[Delivery] = []
    length = 0
    for row in rows:
        size = len(_line(row)) + 1
        if group and length + size > _LONGEST:
            yield group
            group, length = [], 0
        group.append(row)
        length += size
    if group:
        yield group


def _title(rows: Sequence[Delivery]) -> str:
    counts = Counter(row.kind for row in rows).most_common(3)
    named = ", ".join(f"{count} {kind}" for kind, count in counts)
    return f"{len(rows)} messages: {named}"[:200]


def _line(row: Delivery) -> str:
    return f"{row.happened_at:%m-%d %H:%M} {row.title}"
