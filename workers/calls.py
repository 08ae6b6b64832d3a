"""How a process calls workers to rows of backtests: one message per call, and never more waiting than are of use.

A call may be lost, doubled or late: the row says what is left to do. So nothing here raises, and a dead Redis costs the
caller a second at most, then nothing until it is tried again.
"""

from functools import cache
from typing import Any, Final, cast

from celery import Celery
from django.conf import settings
from kombu import Producer

from workers import bell, queues

# The tasks that have rows, and under which name they take the number of theirs.
NAMES: Final = {"backtests.run": "run_id", "backtests.trials": "study_id", "reporting.report": "report_id"}
# Trials wait as rows, not as messages: more calls than this would only keep other backtests waiting behind them.
MOST_WAITING: Final = {"backtests.trials": 8}
EXPIRES: Final = 600  # seconds: by then the row was found by other means

_breaker = bell.Breaker()


def call(task: str, row_id: int) -> None:
    """Send a task with the number of its row, unless enough of its kind wait already. Never raises."""
    _breaker.attempt(f"calling a worker for {task}", lambda: _send(task, row_id))


def _send(task: str, row_id: int) -> None:
    options = bell.TRANSPORT if settings.BROKER_URL.startswith("redis") else {}
    with _publisher().connection_for_write(connect_timeout=bell.PATIENCE, transport_options=options) as connection:
        channel = connection.channel()
        queue = queues.QUEUES[queues.NAMES.index(queues.of(task))](channel)
        waiting = cast(Any, queue.queue_declare()).message_count  # its type says that it is a name
        if waiting < MOST_WAITING.get(task, waiting + 1):
            producer = Producer(channel, auto_declare=False)
            kwargs = {NAMES[task]: row_id}
            _publisher().send_task(task, kwargs=kwargs, producer=producer, expires=EXPIRES, retry=False)


@cache
def _publisher() -> Celery:
    return bell._publisher()
