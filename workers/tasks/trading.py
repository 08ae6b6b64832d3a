"""The tasks of `trading`."""

from typing import Any, Final

from celery import shared_task
from django.conf import settings

from apps.trading import books
from apps.trading.services import exits
from workers import bell, identity, queues

ROUNDS: Final = 50  # batches of one task, so that it ends well before its time limit
IDLE_ROUNDS: Final = 3  # batches that executed nothing: what is left waits for a quote, and the sweeper looks again


@shared_task(name=queues.DRAIN_EXITS)
def drain_exits(**_later: Any) -> None:
    """Execute the exits that wait, in batches; ring again when there are more than one task should do."""
    bell.answered()  # before looking: whoever writes an exit after the last look rings anew
    idle = 0
    for number in range(ROUNDS):
        drained = exits.drain(worker=identity.of_this_process(), limit=settings.EXIT_BATCH)
        if drained.more and number == 0:
            bell.ring()  # a burst: one process more helps, if one is free
        if drained.done:
            bell.announce()
        idle += not (drained.done or drained.superseded)
        if not drained.more or idle >= IDLE_ROUNDS:
            return
    bell.ring()


@shared_task(name="trading.carry_forward")
def carry_forward(**_later: Any) -> None:
    """Add settled ledger lines to the stored balances, so that a balance never has many lines to sum."""
    books.carry_forward()
