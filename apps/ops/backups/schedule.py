"""When a backup and a drill are due, as slots: whoever looks how often, each slot is served once, missed ones late."""

from datetime import UTC, datetime, time, timedelta
from typing import Final

from apps.ops.backups import selectors
from apps.ops.backups.models import Kind, Status

NIGHTLY: Final = time(2)  # UTC
WEEKLY: Final = time(4)  # UTC, on Sunday
SUNDAY: Final = 6
ATTEMPTS: Final = 3
PAUSE: Final = timedelta(minutes=30)


def slot(kind: Kind, now: datetime) -> datetime:
    """Return the newest instant at which a backup or drill was to begin."""
    at, days = (NIGHTLY, 1) if kind == Kind.BACKUP else (WEEKLY, 7)
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = midnight.replace(hour=at.hour)
    if kind == Kind.DRILL:
        found -= timedelta(days=(found.weekday() - SUNDAY) % 7)
    return found if found <= now else found - timedelta(days=days)


def due(kind: Kind, now: datetime) -> bool:
    """Say whether the present slot waits for its run: none succeeded or runs, and not too many have failed."""
    runs = selectors.since(kind, slot(kind, now))
    if any(run.status == Status.DONE for run in runs):
        return False
    if any(now - run.started_at < PAUSE for run in runs):
        return False
    return len(runs) < ATTEMPTS
