"""Signs of life: every process writes one every second or two, and whoever wonders reads them."""

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from apps.journal.models import Pulse


def beat(name: str, facts: Mapping[str, Any], *, started_at: datetime, now: datetime) -> None:
    """Write this process's sign of life with what it counts."""
    Pulse.objects.update_or_create(
        name=name,
        host=settings.HOST_NAME,
        pid=os.getpid(),
        defaults={"beat_at": now, "facts": dict(facts)},
        create_defaults={"beat_at": now, "facts": dict(facts), "started_at": started_at},
    )


def alive(prefix: str, *, now: datetime, within: timedelta) -> list[Pulse]:
    """Return the processes whose role begins with `prefix` and that gave a sign of life recently."""
    return list(Pulse.objects.filter(name__startswith=prefix, beat_at__gte=now - within))


def prune(*, before: datetime) -> int:
    """Forget processes that have been silent since before an instant; return how many."""
    return Pulse.objects.filter(beat_at__lt=before).delete()[0]
