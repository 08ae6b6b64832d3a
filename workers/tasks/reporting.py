"""The tasks of `reporting`."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from celery import shared_task

from apps.reporting.services import dispatching, gathering, pruning, sending

ROUNDS: Final = 20  # batches of events in one task
KEPT: Final = timedelta(days=30)  # how long the log of deliveries and orders is kept
TURN: Final = 8.0  # seconds of sending before other tasks of the worker have their turn


@shared_task(name="reporting.notify")
def notify(**_later: Any) -> None:
    """Make messages of what is new in the journal and of what was gathered, and send what is due."""
    for _ in range(ROUNDS):
        if not dispatching.dispatch(_now()).more:
            break
    gathering.release(_now())
    sending.send_due(_now, seconds=TURN)


@shared_task(name="reporting.prune")
def prune(**_later: Any) -> None:
    """Forget what was delivered or answered long ago."""
    pruning.prune(before=_now() - KEPT)


def _now() -> datetime:
    return datetime.now(UTC)
