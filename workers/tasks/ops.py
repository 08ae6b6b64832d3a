"""The tasks of `ops`."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.ops import housekeeping


@shared_task(name="ops.prune")
def prune(**_later: Any) -> None:
    """Forget what only listeners and status pages needed for a moment."""
    housekeeping.prune(timezone.now())
