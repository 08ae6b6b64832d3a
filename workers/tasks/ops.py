"""The tasks of `ops`."""

import time
from datetime import datetime
from pathlib import Path
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from apps.journal import canaries, lines, measures, seals
from apps.ops import housekeeping
from apps.ops.backups.models import Kind
from apps.ops.jobs import ages, cleaning, nightly
from apps.web.figures import keeping
from workers import job_runs


@shared_task(name="ops.prune")
def prune(**_later: Any) -> None:
    """Forget what only listeners and status pages needed for a moment."""
    housekeeping.prune(timezone.now())


@shared_task(name="ops.seal")
def seal(**_later: Any) -> int:
    """Seal what the journal has settled, half a minute at most, and return how many events that were."""
    ends, sealed = time.monotonic() + 30, 0
    while (done := seals.seal(timezone.now())) and time.monotonic() < ends:
        sealed += done
    return sealed


@shared_task(name="ops.run_job")
def run_job(*, run_id: int, **_later: Any) -> None:
    """Run one slot of a job of the calendar, unless somebody else does or did."""
    job_runs.run(run_id)


@shared_task(name="ops.backup")
def backup(*, slot: str = "", **_later: Any) -> str:
    """See to the backup of a slot; without one, of now."""
    return nightly.see_to(Kind.BACKUP, slot=_instant(slot), now=timezone.now())


@shared_task(name="ops.drill")
def drill(*, slot: str = "", **_later: Any) -> str:
    """See to the drill of a slot; without one, of now."""
    return nightly.see_to(Kind.DRILL, slot=_instant(slot), now=timezone.now())


@shared_task(name="ops.ages")
def look_at_ages(**_later: Any) -> list[str]:
    """Say which keys, tokens and certificates are too old or end soon."""
    return ages.look(timezone.now(), settings.CSRF_TRUSTED_ORIGINS)


@shared_task(name="ops.clean", soft_time_limit=270, time_limit=300)
def clean(**_later: Any) -> dict[str, int]:
    """Forget runs of jobs, logs and sessions that ended long ago."""
    return cleaning.clean(timezone.now(), Path(settings.VAR) / "log")


@shared_task(name="ops.canary")
def canary(*, queue: str, sent_at: str, **_later: Any) -> None:
    """Say that a worker serves this queue."""
    canaries.answer(queue, datetime.fromisoformat(sent_at), timezone.now())


@shared_task(name="ops.measure")
def measure(**_later: Any) -> None:
    """Keep the key figures of this minute."""
    now = timezone.now()
    measures.store(keeping.samples(now), now)


@shared_task(name="ops.thin")
def thin(**_later: Any) -> None:
    """Keep one figure an hour of what is days old, and forget log lines that are months old."""
    measures.thin(timezone.now())
    lines.prune(timezone.now())


def _instant(slot: str) -> datetime:
    return datetime.fromisoformat(slot) if slot else timezone.now()
