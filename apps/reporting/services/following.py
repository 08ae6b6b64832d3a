"""Following the journal by number, each event once, although numbers become visible out of order.

The place is a row that is locked while events are taken, and moves in the transaction that makes their deliveries: a
process that dies has taken nothing. A number that is missing is asked for until its transaction must have ended.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Max

from apps.journal.models import Event
from apps.reporting import locks
from apps.reporting.models import Place

NAME: Final = "notifications"
PATIENCE: Final = timedelta(seconds=60)  # the settings end any transaction well before
LOOK_BACK: Final = 2000  # numbers below the last one that may still become visible when following begins
WIDEST_GAP: Final = 10_000  # a sequence that was set forward leaves a gap that nobody will fill


def begin(now: datetime) -> None:
    """Stand at the end of the journal, unless following began before: nobody wants messages about last year."""
    if Place.objects.filter(pk=NAME).exists():
        return
    head = Event.objects.aggregate(last=Max("id"))["last"] or 0
    first = max(head - LOOK_BACK, 0)
    known = set(Event.objects.filter(id__gt=first, id__lte=head).values_list("id", flat=True))
    lowest = min(known, default=head)  # what lies below was swept away or never was
    missing = {str(number): now.isoformat() for number in range(lowest, head) if number not in known}
    Place.objects.get_or_create(pk=NAME, defaults={"head": head, "missing": missing, "moved_at": now})


def take(place: Place, *, now: datetime, limit: int) -> list[Event]:
    """Return events not taken yet and move the locked place beyond them; those that came late go first."""
    waiting = {int(n): since for n, since in place.missing.items() if now - datetime.fromisoformat(since) < PATIENCE}
    late = list(Event.objects.filter(id__in=list(waiting)).order_by("id")) if waiting else []
    for event in late:
        del waiting[event.pk]
    new = list(Event.objects.filter(id__gt=place.head).order_by("id")[:limit])
    for event in new:
        gap = range(max(place.head + 1, event.pk - WIDEST_GAP), event.pk)
        waiting |= dict.fromkeys(gap, now.isoformat())
        place.head = event.pk
    _save(place, waiting, now)
    return [*late, *new]


def _save(place: Place, waiting: dict[int, Any], now: datetime) -> None:
    missing = {str(number): since for number, since in waiting.items()}
    Place.objects.filter(pk=place.pk).update(head=place.head, missing=missing, moved_at=now)


def locked() -> Place | None:
    """Return the place, locked until this transaction ends; None while somebody else follows."""
    return locks.place(NAME)
