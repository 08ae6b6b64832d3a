"""A worker runs one slot: claims its row, does what the job says, settles with what came of it."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F

from apps.domain.errors import Unavailable
from apps.journal import services as journal
from apps.ops.jobs import locks
from apps.ops.jobs.models import JobRun, State

FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(minutes=15)
LONGEST_TEXT: Final = 4000
_PATIENCE: Final = (0.5, 2.0, 5.0)  # seconds between attempts to settle
# What may be better a moment later; anything else is a bug, and trying again would only repeat it.
_PASSING: Final = (OperationalError, InterfaceError, ConnectionError, TimeoutError)


class NotYet(Unavailable):
    """What the job began is not over: ask again `after` a while. Beginning it `counts` as an attempt, asking not."""

    def __init__(self, message: str, *, after: timedelta, counts: bool = False) -> None:
        super().__init__(message)
        self.after = after
        self.counts = counts


@dataclass(slots=True, kw_only=True)
class Claimed:
    """One run in this worker's hands; `attempt` says whose settling counts."""

    run_id: int
    job_id: int
    job: str
    task: str
    kwargs: dict[str, Any]
    slot: datetime
    attempt: int
    attempts: int
    result: Any = field(default=None)


def claim(run_id: int, *, worker: str, now: datetime, limit: Callable[[str], timedelta]) -> Claimed | None:
    """Take a run that waits; None when another worker has it, or had it. `limit` says how long its task may take."""
    with transaction.atomic():
        run = locks.waiting_run(run_id)
        if run is None or run.due_at > now:
            return None
        run.state, run.worker, run.attempts = State.RUNNING, worker, run.attempts + 1
        run.started_at, run.until, run.error = run.started_at or now, now + limit(run.job.task), ""
        run.save(update_fields=("state", "worker", "attempts", "started_at", "until", "error"))
    return Claimed(
        run_id=run.pk,
        job_id=run.job_id,
        job=run.job.name,
        task=run.job.task,
        kwargs=run.job.kwargs,
        slot=run.slot,
        attempt=run.attempts,
        attempts=run.job.attempts,
    )


class Settling:
    """Around the work of a claimed run: writes down what came of it when it ends, and lets errors pass on."""

    def __init__(self, claimed: Claimed, clock: Callable[[], datetime]) -> None:
        self._claimed = claimed
        self._clock = clock

    def __enter__(self) -> Claimed:
        """Hand out the run; set its `result`."""
        return self._claimed

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Settle. What is tried again is no error yet; what ends the run or the worker passes on."""
        self._settle(error)
        return isinstance(error, Exception) and not _is_last(self._claimed, error)

    def _settle(self, error: BaseException | None) -> None:
        # The work is done, and a run that does not say so is done again: a database that restarts is worth a wait.
        for wait in _PATIENCE:
            try:
                settle(self._claimed, error, now=self._clock())
            except (OperationalError, InterfaceError):
                connection.close()
                time.sleep(wait)
            else:
                return
        settle(self._claimed, error, now=self._clock())


def settle(claimed: Claimed, error: BaseException | None, *, now: datetime) -> bool:
    """Write what came of a run; False when it is not this attempt's any more."""
    if error is None:
        return _done(claimed, now)
    if not isinstance(error, Exception):  # the worker ends; whoever comes next begins anew
        return _again(claimed, now, attempts=claimed.attempt - 1, started_at=None)
    said = f"{type(error).__name__}: {error}"[:LONGEST_TEXT]
    if _is_last(claimed, error):
        return fail(claimed.run_id, claimed.attempt, said, now=now)
    if isinstance(error, NotYet):
        attempts = claimed.attempt - (not error.counts)
        return _again(claimed, now + error.after, attempts=attempts, result=str(error))
    return _again(claimed, now + pause(claimed.attempt), error=said, started_at=None)


def _is_last(claimed: Claimed, error: Exception) -> bool:
    """Say whether an error ends the run: trying again is pointless, or has been done often enough."""
    if isinstance(error, NotYet):
        return error.counts and claimed.attempt > claimed.attempts
    return not passing(error) or claimed.attempt >= claimed.attempts


def passing(error: Exception) -> bool:
    """Say whether another attempt is worth it."""
    return not error.permanent if isinstance(error, Unavailable) else isinstance(error, _PASSING)


def pause(attempt: int) -> timedelta:
    """Return how long to wait after a failed attempt: 30 s, then twice as long each time, at most 15 min."""
    return min(FIRST_PAUSE * int(2 ** min(attempt - 1, 10)), LONGEST_PAUSE)


def fail(run_id: int, attempt: int, error: str, *, now: datetime) -> bool:
    """Give a run up, with an event; False when the attempt is not under way any more."""
    with transaction.atomic():
        run = locks.running_run(run_id)
        if run is None or run.attempts != attempt:
            return False
        run.state, run.error, run.ended_at = State.FAILED, error, now
        run.duration = now - run.started_at if run.started_at else None
        run.save(update_fields=("state", "error", "ended_at", "duration"))
        payload = {"job": run.job.name, "run": run.pk, "slot": str(run.slot), "error": error, "attempts": attempt}
        journal.record("job.failed", f"job:{run.job_id}", payload=payload, actor=run.asked_by)
    return True


def _done(claimed: Claimed, now: datetime) -> bool:
    result = claimed.result
    text = result if isinstance(result, str) else "" if result is None else json.dumps(result, default=str)
    took = now - F("started_at")
    return _write(claimed, state=State.DONE, ended_at=now, duration=took, result=text[:LONGEST_TEXT], error="")


def _again(claimed: Claimed, due_at: datetime, **columns: Any) -> bool:
    return _write(claimed, state=State.WAITING, due_at=due_at, rung_at=None, until=None, **columns)


def _write(claimed: Claimed, **columns: Any) -> bool:
    mine = JobRun.objects.filter(pk=claimed.run_id, state=State.RUNNING, attempts=claimed.attempt)
    return bool(mine.update(**columns))
