"""Sends a canary through every queue a worker serves, and says when one arrived: a queue that is not served shows.

A worker that has stalled, a broker that swallows messages, a queue without workers: all look alike from outside, in
that no canary comes back. Each worker sends through its own queues, so that no other process has to live for it.
"""

from collections.abc import Iterable
from datetime import datetime

from django.conf import settings
from kombu import Producer

from apps.journal import canaries
from workers import bell, calls, queues

TASK = "ops.canary"


def send_due(names: Iterable[str], now: datetime, breaker: bell.Breaker) -> list[str]:
    """Send a canary through each queue whose last one is half a minute old; return which. A dead broker only delays."""
    due = [] if breaker.is_open else canaries.claim(names, now)
    if due:
        breaker.attempt("sending canaries", lambda: _send(due, now))
    return due


def _send(names: Iterable[str], now: datetime) -> None:
    options = bell.TRANSPORT if settings.BROKER_URL.startswith("redis") else {}
    app = calls._publisher()
    with app.connection_for_write(connect_timeout=bell.PATIENCE, transport_options=options) as connection:
        channel = connection.channel()
        producer = Producer(channel, auto_declare=False)
        for name in names:
            queues.QUEUES[queues.NAMES.index(name)](channel).declare()
            app.send_task(
                TASK,
                kwargs={"queue": name, "sent_at": now.isoformat()},
                queue=name,
                producer=producer,
                expires=canaries.patience(name).total_seconds(),
                retry=False,
            )
