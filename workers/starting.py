"""The start of the site: the first worker that takes orders lets no account open anything before it agrees."""

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection, transaction

from apps.journal import pulses
from apps.journal.models import Pulse
from apps.trading.services import reconciling
from workers import queues

SILENT_AFTER: Final = timedelta(seconds=10)
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('site.start', 0))"


def begin(role: str, names: Sequence[str], now: datetime) -> bool:
    """Doubt every account unless another worker takes orders already; True when this is the start.

    Workers that start together take turns, and each leaves a sign of life before the next looks: one of them is first.
    """
    if queues.ORDERS not in names:
        return False
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_LOCK)
        first = not any(_takes_orders(pulse) for pulse in pulses.alive("worker:", now=now, within=SILENT_AFTER))
        if first:
            reconciling.begin(now)
        pulses.beat(role, {"queues": list(names)}, started_at=now, now=now)
    return first


def _takes_orders(pulse: Pulse) -> bool:
    return queues.ORDERS in pulse.facts.get("queues", ()) and _lives(pulse)


def _lives(pulse: Pulse) -> bool:
    """Say whether a process is still there; of one on this machine the last sign of life may be all that is left."""
    if pulse.host != settings.HOST_NAME:
        return True
    if pulse.pid == os.getpid():
        return False
    try:
        os.kill(pulse.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
