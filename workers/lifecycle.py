"""What happens when a worker starts, forks, runs a task and ends.

Celery imports this module in workers and beat once Django is set up (`CELERY_IMPORTS`).
"""

import logging
import os
import select
from collections.abc import Mapping
from typing import Any

from celery import current_app, signals
from celery.worker import state as counters
from django.db import Error, close_old_connections, connection
from django.utils import timezone

from apps.ops import stopping as end_note
from apps.ops.configuration import following
from apps.trading import bell as port
from apps.trading.services import exits
from workers import bell, identity, queues, starting, stopping
from workers.pulse import Pulse

# Two lines per task would cost more than the task; failures are logged on higher levels.
CHATTY = ("celery.worker.strategy", "celery.app.trace", "celery.beat", "kombu")

PATIENT = 10  # how much a process for backtests gives way to the others, in the terms of nice(1)

logger = logging.getLogger(__name__)
_pulses: list[Pulse] = []
_roles: list[str] = []  # what this worker is called, until it has said why it ends
_started_at = timezone.now()


@signals.setup_logging.connect
def keep_our_logging(**_event: Any) -> None:
    """Keep the logging of the settings: that somebody answers this signal makes Celery leave it alone."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


@signals.worker_init.connect
def prepare(**_event: Any) -> None:
    """Let services ring for a worker from within tasks, and have every child warm up."""
    port.install(ring=bell.ring, announce=bell.announce, ring_orders=bell.ring_orders)
    # Connected this late because Celery's own answer, which closes inherited connections, must come before.
    signals.worker_process_init.connect(warm_up)


@signals.celeryd_after_setup.connect
def begin_site(instance: Any, **_event: Any) -> None:
    """Before the first task: where the venues stand is not known at the start of the site."""
    names = sorted(instance.app.amqp.queues.consume_from)
    stopping.refuse_unfit(role(names))
    _roles[:] = [role(names)]
    following.share()  # before the children are there
    try:
        starting.begin(role(names), names, timezone.now())
    except Error as error:
        # Accounts that were clean stay so: what they hold is looked at within seconds all the same.
        logger.warning("The start could not be written down: %s", error)
    connection.close()  # the children open their own


def warm_up(**_event: Any) -> None:
    """Pay for connections and first imports before the first exit has to."""
    if set(current_app.amqp.queues.consume_from) == {queues.BACKTESTS}:
        os.nice(PATIENT)
    try:
        connection.ensure_connection()
        exits.drain(worker=identity.of_this_process(), limit=1)
    except Error as error:
        logger.warning("Warming up failed; the first task connects again: %s", error)
        connection.close()
    bell.answered()


@signals.task_prerun.connect
@signals.task_postrun.connect
def mind_connections(**_event: Any) -> None:
    """Drop a database connection that has died or grown old; keeping one without this would keep a dead one."""
    following.catch_up()
    close_old_connections()
    # A server that ends a session says so, or closes the socket. While there is nothing to read, Django need not ask
    # "SELECT 1" before the first statement of every task.
    if connection.connection is not None and not select.select([connection.connection], [], [], 0)[0]:
        connection.health_check_done = True  # type: ignore[attr-defined] # the stubs do not know it


@signals.worker_ready.connect
def begin_to_beat(sender: Any, **_event: Any) -> None:
    """Write a sign of life every two seconds from the parent process."""
    names = sorted(sender.app.amqp.queues.consume_from)
    known = {
        "queues": names,
        "pool": type(sender.pool).__module__.rpartition(".")[2],
        "concurrency": sender.pool.limit,
    }

    def facts() -> Mapping[str, Any]:
        return {**known, "tasks": sum(counters.total_count.values())}

    pulse = Pulse(role(names), facts)
    _pulses.append(pulse)
    pulse.start()


@signals.worker_shutting_down.connect
def say_why(sig: str = "", **_event: Any) -> None:
    """Say which signal began the end; a worker that ends at once sends no other word of it."""
    end_note.caught(sig)
    while _roles:
        stopping.say(_roles.pop(), _started_at)


@signals.worker_shutdown.connect
def stop_beating(**_event: Any) -> None:
    """End the signs of life with the worker."""
    while _pulses:
        _pulses.pop().stop()
    say_why()


@signals.beat_init.connect
def begin_beat(**_event: Any) -> None:
    """Beat rings on tables of its own code only, and says why it ended."""
    stopping.refuse_unfit("beat")

    def end() -> None:
        stopping.say("beat", _started_at)
        raise SystemExit(0)

    end_note.heed(then=end)


def role(names: list[str]) -> str:
    """Name a worker by its queues as its pulse shows it: "worker:exits", or "worker:market,ops"."""
    return "worker:all" if set(names) == set(queues.NAMES) else f"worker:{','.join(names)}"[:64]
