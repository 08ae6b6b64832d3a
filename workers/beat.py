"""Beat's clock for the jobs that come every so often: django-celery-beat's, but only the leading beat rings.

What was rung is written before the message is sent, under the leader's epoch: a beat that slept through its own
replacement sends nothing, and a successor goes on from the rows instead of ringing everything anew.
"""

import logging
from typing import Any, Final

from django.db import Error, connection, transaction
from django.db.models import F
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from apps.journal import leases
from apps.ops.jobs.ticking import ROLE, Deposed
from workers.timekeeper import Timekeeper

log = logging.getLogger(__name__)

STANDBY: Final = 0.1  # seconds between two looks at whether this beat leads
AWAY: Final = 1.0  # seconds to wait for a database that does not answer


class Scheduler(DatabaseScheduler):  # type: ignore[misc] # django-celery-beat has no types
    """Rings while it leads, stands by while it does not. Named by CELERY_BEAT_SCHEDULER."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._timekeeper = Timekeeper()
        self._led: int | None = None
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Ring what is due, one job at most; return the seconds until the next look."""
        if not self._timekeeper.started:
            self._timekeeper.start()
        if self._timekeeper.failed:
            raise SystemExit("the thread that keeps the timetable has ended: this beat ends, for another to lead")
        epoch = self._timekeeper.epoch
        if epoch is None:
            self._led = None
            return STANDBY
        try:
            if epoch != self._led:
                self._read_anew(epoch)
            return float(super().tick(*args, **kwargs))
        except Deposed:
            self._led = None
            return STANDBY
        except Error as error:
            log.warning("beat waits for the database: %s", str(error).strip())
            self._led = None
            connection.close()
            return AWAY

    def reserve(self, entry: ModelEntry) -> ModelEntry:
        """Write that a job is rung now, before it is. Raises Deposed when this beat does not lead any more."""
        following = next(entry)
        with transaction.atomic():
            if self._led is None or not leases.holds(ROLE, self._led):
                raise Deposed("another beat leads")
            rows = PeriodicTask.objects.filter(pk=entry.model.pk)
            rows.update(last_run_at=following.last_run_at, total_run_count=F("total_run_count") + 1)
        self._schedule[following.name] = following
        return following

    def close(self) -> None:
        """Let a standby lead at once."""
        self._timekeeper.stop()
        super().close()

    def _read_anew(self, epoch: int) -> None:
        """Forget what this beat knew: another one may have rung since."""
        self._schedule = self.all_as_schedule()
        self._initial_read = False
        self._heap = None
        self._led = epoch
