"""The tasks of `ops`."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.ops import housekeeping
from apps.ops.backups import launching
from apps.ops.backups.models import Kind


@shared_task(name="ops.prune")
def prune(**_later: Any) -> None:
    """Forget what only listeners and status pages needed for a moment."""
    housekeeping.prune(timezone.now())


@shared_task(name="ops.backup")
def backup(**_later: Any) -> None:
    """Begin the nightly backup unless this night's is there."""
    launching.when_due(Kind.BACKUP, now=timezone.now())


@shared_task(name="ops.drill")
def drill(**_later: Any) -> None:
    """Begin the weekly drill unless this week's has passed."""
    launching.when_due(Kind.DRILL, now=timezone.now())
