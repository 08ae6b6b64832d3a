"""The tasks of `trading`."""

from typing import Any, Final

from celery import shared_task
from django.conf import settings
from django.db import Error

from apps.trading import books
from apps.trading.services import exits
from workers import bell, identity, lifecycle, queues

ROUNDS: Final = 50  # batches of one task, so that it ends well before its time limit
IDLE_ROUNDS: Final = 3  # batches that executed nothing: what is left waits for a quote, and the sweeper looks again


@shared_task(name=queues.DRAIN_EXITS)
def drain_exits(**_later: Any) -> None:
    """Execute the exits that wait, in batches; after work, stay for what comes next."""
    bell.answered()  # before looking: whoever writes an exit after the last look rings anew
    if not _drain():
        return
    try:
        bell.stay(_drain_again)
    except Error:
        bell.ring_another()  # the call was answered in vain; a task that begins anew has a connection that works
        raise


def _drain_again() -> None:
    lifecycle.mind_connections()  # what Celery has done before a task
    _drain()


def _drain() -> bool:
    """Execute what waits and say whether there was any; ring again when there is more than one task should do."""
    idle = worked = 0
    for number in range(ROUNDS):
        drained = exits.drain(worker=identity.of_this_process(), limit=settings.EXIT_BATCH)
        if drained.more and number == 0:
            bell.ring_another()  # a burst: one process more helps, if one is free
        if drained.done:
            bell.announce()
        done = bool(drained.done or drained.superseded)
        worked, idle = worked + done, idle + (not done)
        if not drained.more or idle >= IDLE_ROUNDS:
            return bool(worked)
    bell.ring_another()
    return True


@shared_task(name="trading.carry_forward")
def carry_forward(**_later: Any) -> None:
    """Add settled ledger lines to the stored balances, so that a balance never has many lines to sum."""
    books.carry_forward()
