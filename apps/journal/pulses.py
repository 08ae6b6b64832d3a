"""Signs of life: every process writes one every second or two, and whoever wonders reads them."""

import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from apps.journal.models import Pulse

Teller = Callable[[datetime], Mapping[str, Any]]
_tellers: list[Teller] = []


def also(teller: Teller) -> None:
    """Have every sign of life of this process say more; `teller` is given the time and must not raise."""
    if teller not in _tellers:
        _tellers.append(teller)


def beat(name: str, facts: Mapping[str, Any], *, started_at: datetime, now: datetime) -> None:
    """Write this process's sign of life with what it counts."""
    facts = {**facts, **{key: value for teller in _tellers for key, value in teller(now).items()}}
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
