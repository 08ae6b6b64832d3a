"""Log lines that are kept: written many at a time, and forgotten by age and by number."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Max

from apps.journal.models import LogLine

KEPT: Final = timedelta(days=90)
MOST: Final = 500_000  # rows, whatever their age
BATCH: Final = 500


def write(rows: Sequence[LogLine]) -> None:
    """Write lines with one statement per few hundred."""
    LogLine.objects.bulk_create(rows, batch_size=BATCH)


def prune(now: datetime) -> int:
    """Forget lines that are old, and the oldest of too many; return how many."""
    gone = LogLine.objects.filter(at__lt=now - KEPT).delete()[0]
    newest = LogLine.objects.aggregate(newest=Max("id"))["newest"] or 0
    return gone + LogLine.objects.filter(id__lte=newest - MOST).delete()[0]
