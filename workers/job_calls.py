"""How the beat calls workers to runs of jobs, and how long a job's task may take.

A call may be lost, doubled or late: the row says what is left to do, and the beat calls again. So nothing here raises.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import Final

from celery import Celery, current_app
from django.conf import settings
from kombu import Producer

from apps.ops.jobs import tending
from apps.ops.jobs.tending import Call
from workers import bell, queues

TASK: Final = "ops.run_job"
MARGIN: Final = timedelta(seconds=15)  # beyond a task's limit, until its worker is taken for dead

_breaker = bell.Breaker()


def call(calls: Sequence[Call]) -> bool:
    """Send one message for each run, to the queue of its task; False when the broker did not take them."""
    return not calls or _breaker.attempt("calling workers to jobs", lambda: _send(calls))


def limit(task: str) -> timedelta:
    """Return how long a run of a task may take before its worker is taken for dead."""
    return timedelta(seconds=_limits(task)[1]) + MARGIN


def _send(calls: Sequence[Call]) -> None:
    options = bell.TRANSPORT if settings.BROKER_URL.startswith("redis") else {}
    with _publisher().connection_for_write(connect_timeout=bell.PATIENCE, transport_options=options) as connection:
        producer = Producer(connection.channel(), auto_declare=False)
        for run_id, task in calls:
            soft, hard = _limits(task)
            _publisher().send_task(
                TASK,
                kwargs={"run_id": run_id},
                producer=producer,
                queue=queues.of(task),
                expires=tending.RING_AGAIN.total_seconds(),
                soft_time_limit=soft,
                time_limit=hard,
                retry=False,
            )


def _limits(task: str) -> tuple[int, int]:
    """Return the soft and the hard limit of a task in seconds: its own, or everybody's."""
    known = current_app.tasks.get(task)
    soft = getattr(known, "soft_time_limit", None) or settings.CELERY_TASK_SOFT_TIME_LIMIT
    return soft, getattr(known, "time_limit", None) or settings.CELERY_TASK_TIME_LIMIT


@cache
def _publisher() -> Celery:
    return bell._publisher()
