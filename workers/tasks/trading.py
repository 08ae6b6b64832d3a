"""The tasks of `trading`."""

from datetime import UTC, datetime
from typing import Any, Final

from celery import shared_task
from django.conf import settings
from django.db import Error

from apps.trading import books
from apps.trading.services import exits, measuring, monitoring, paper_matching, protecting, reconciling, sending
from workers import bell, identity, lifecycle, queues

ROUNDS: Final = 50  # batches of one task, so that it ends well before its time limit
IDLE_ROUNDS: Final = 3  # batches that executed nothing: what is left waits for a quote, and the sweeper looks again
ORDERS: Final = 100  # steps of orders in one task
RECONCILE_WITHIN: Final = 30  # seconds a call to compare an account is good for; the next one comes anyway
PAPER_ORDERS: Final = 500  # of the built-in venue, looked at in one task


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


@shared_task(name=queues.SEND_ORDERS)
def send_orders(**_later: Any) -> None:
    """Take the orders that are due to their brokers; ring again when there is more than one task should do."""
    bell.orders_answered()  # before looking: whoever stores an order after the last look rings anew
    _send()


@shared_task(name="trading.look_at_orders")
def look_at_orders(**_later: Any) -> None:
    """Keep the stops at the venues in step, and ask the venues about orders whose time to be looked at has come."""
    protecting.keep(now=datetime.now(UTC))
    paper_matching.match_due(datetime.now(UTC), PAPER_ORDERS)
    _send()


def _send() -> None:
    sent = sending.send_due(identity.of_this_process(), ORDERS, clock=lambda: datetime.now(UTC))
    if sent.taken:
        bell.announce()
    if sent.more:
        bell.ring_orders_again()


@shared_task(name="trading.reconcile")
def reconcile(**_later: Any) -> None:
    """Compare every account at a broker with its venue, each in a task of its own."""
    _reconcile(doubtful=False)


@shared_task(name="trading.reconcile_doubtful")
def reconcile_doubtful(**_later: Any) -> None:
    """Compare the accounts about which something is not known: since the start, or since the last look."""
    _reconcile(doubtful=True)


def _reconcile(*, doubtful: bool) -> None:
    for account_id in reconciling.due(now=datetime.now(UTC), doubtful=doubtful):
        reconcile_account.apply_async(kwargs={"account_id": account_id}, expires=RECONCILE_WITHIN)


@shared_task(name="trading.reconcile_account")
def reconcile_account(*, account_id: int, **_later: Any) -> None:
    """Compare one account with its venue: a venue that hangs holds up no other."""
    reconciling.reconcile(account_id, clock=lambda: datetime.now(UTC))


@shared_task(name="trading.carry_forward")
def carry_forward(**_later: Any) -> None:
    """Add settled ledger lines to the stored balances, so that a balance never has many lines to sum."""
    books.carry_forward()


@shared_task(name=queues.WATCH_RISK)
def watch_risk(**_later: Any) -> None:
    """Judge every limit on what accounts hold now, and do what broken ones say."""
    monitoring.monitor(datetime.now(UTC))


@shared_task(name="trading.thin_measures")
def thin_measures(**_later: Any) -> None:
    """Of measures of risk older than a month keep one per hour."""
    measuring.thin(datetime.now(UTC))
