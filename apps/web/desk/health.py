"""Whether everything works, in one look: feeds, processes, queues, exits that wait."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings

from apps.journal.models import Pulse
from apps.market.models import FeedStatus
from apps.web import redis
from apps.web.metrics import QUEUES

SILENT_AFTER: Final = timedelta(seconds=10)
WAITS_LONG: Final = timedelta(seconds=2)
LONG_QUEUE: Final = 100  # messages
LIVE: Final = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the site: how it is in a word, and why in a sentence."""

    name: str
    tone: str  # good, warn, bad
    word: str
    detail: str


def look(now: datetime, waiting: int, oldest: datetime | None) -> list[Part]:
    """Say how the parts of the site are: two queries and a question to Redis."""
    return [feeds(list(FeedStatus.objects.all())), processes(list(Pulse.objects.all()), now), queues(), exits(
        waiting, oldest, now
    )]  # fmt: skip


def feeds(rows: list[FeedStatus]) -> Part:
    """Say how the feeds of prices are."""
    wrong = [row for row in rows if row.state != LIVE]
    if not rows:
        return Part(name="Prices", tone="warn", word="none", detail="No listener has reported yet.")
    if not wrong:
        return Part(name="Prices", tone="good", word="live", detail=f"{len(rows)} of {len(rows)} feeds are live.")
    told = ", ".join(f"{row.name} {row.state}" for row in wrong[:3])
    tone = "bad" if len(wrong) == len(rows) else "warn"
    return Part(name="Prices", tone=tone, word=wrong[0].state, detail=f"{told}; entries wait, exits go on.")


def processes(rows: list[Pulse], now: datetime) -> Part:
    """Say whether each process gives signs of life; a row of an earlier run says nothing while another one lives."""
    alive = [row.name for row in rows if now - row.beat_at < SILENT_AFTER]
    silent = sorted({row.name for row in rows} - set(alive))
    if not rows:
        return Part(name="Processes", tone="warn", word="none", detail="No process has reported yet.")
    if silent:
        return Part(name="Processes", tone="bad", word="silent", detail=f"No sign of life of {', '.join(silent[:4])}.")
    return Part(name="Processes", tone="good", word="all live", detail=f"{len(alive)} gave a sign within 10 s.")


def queues() -> Part:
    """Say how many messages wait in the queues."""
    found = lengths()
    if found is None:
        detail = "Redis does not answer. Stops still work: the sweeper needs only the database."
        return Part(name="Queues", tone="bad", word="away", detail=detail)
    longest = max(found, key=found.__getitem__, default="")
    if longest and found[longest] > LONG_QUEUE:
        detail = f"{found[longest]} messages wait in {longest}."
        return Part(name="Queues", tone="warn", word="busy", detail=detail)
    return Part(name="Queues", tone="good", word="short", detail=f"{sum(found.values())} messages wait in all.")


def lengths() -> Mapping[str, int] | None:
    """Return how many messages wait in each queue; None when Redis does not answer, empty when it is not Redis."""
    if not settings.BROKER_URL.startswith("redis"):
        return {}
    try:
        return redis.queue_lengths(QUEUES)
    except (redis.Away, OSError):
        return None


def exits(waiting: int, oldest: datetime | None, now: datetime) -> Part:
    """Say whether exits wait to be executed."""
    if oldest is not None and now - oldest > WAITS_LONG:
        detail = f"{waiting} exits wait, the oldest for {(now - oldest).total_seconds():.0f} s."
        return Part(name="Exits", tone="bad", word="waiting", detail=detail)
    if waiting:
        return Part(name="Exits", tone="good", word="busy", detail=f"{waiting} are being executed.")
    return Part(name="Exits", tone="good", word="none wait", detail="Every exit was executed.")
