"""What the site is made of and how it is: feeds, processes, queues, leaders, backups."""

from datetime import datetime, timedelta
from typing import Any, Final

from django.apps import apps
from django.http import HttpRequest, HttpResponse

from apps.access.desk import pages
from apps.journal.models import Lease, Pulse
from apps.market.models import FeedStatus
from apps.trading import selectors
from apps.web.desk import doors, health

LEASE_SILENT: Final = timedelta(seconds=10)
BACKUPS: Final = 4


@doors.page
def show(request: HttpRequest) -> HttpResponse:
    """Show how the site is; where its processes run is for staff."""
    now = pages.now()
    waiting = selectors.exits_waiting()
    feeds, pulses = list(FeedStatus.objects.all()), list(Pulse.objects.order_by("name", "host", "pid"))
    lengths = health.lengths()
    context: dict[str, Any] = {
        "title": "System",
        "health": [
            health.feeds(feeds),
            health.processes(pulses, now),
            health.queues(),
            health.exits(waiting.exits, waiting.oldest, now),
        ],
        "feeds": feeds,
        "pulses": _standing(pulses, now),
        "leaders": [(lease, _leads(lease, now)) for lease in Lease.objects.all()],
        "lengths": None if lengths is None else sorted(lengths.items()),
        "long_queue": health.LONG_QUEUE,
        "backups": backups(),
        "is_staff": bool(getattr(request.user, "is_staff", False)),
    }
    return doors.show(request, "system", context)


def backups() -> list[Any]:
    """Return the newest backups and drills. They are rows of `ops`, which stands beside `web`: asked for by name."""
    return list(apps.get_model("ops", "BackupRun")._default_manager.order_by("-id")[:BACKUPS])


def _standing(pulses: list[Pulse], now: datetime) -> list[tuple[Pulse, str]]:
    """Say of each process whether it is live, silent, or was followed by another of its name that is live."""
    live = {pulse.name for pulse in pulses if now - pulse.beat_at < health.SILENT_AFTER}
    words = {True: "live", False: "silent"}
    found = [(pulse, words[now - pulse.beat_at < health.SILENT_AFTER]) for pulse in pulses]
    return [(pulse, "ended" if word == "silent" and pulse.name in live else word) for pulse, word in found]


def _leads(lease: Lease, now: datetime) -> bool:
    return lease.renewed_at is not None and now - lease.renewed_at < LEASE_SILENT
