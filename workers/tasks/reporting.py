"""The tasks of `reporting`."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from celery import shared_task
from django.conf import settings

from apps.reporting.reports import keeping, making
from apps.reporting.services import dispatching, gathering, pruning, sending

ROUNDS: Final = 20  # batches of events in one task
KEPT: Final = timedelta(days=30)  # how long the log of deliveries and orders is kept
TURN: Final = 8.0  # seconds of sending before other tasks of the worker have their turn
REPORTS_TURN: Final = 60.0  # seconds of making reports
REPORT_LIMIT: Final = 300  # for the longest report


@shared_task(name="reporting.notify")
def notify(**_later: Any) -> None:
    """Make messages of what is new in the journal and of what was gathered, and send what is due."""
    for _ in range(ROUNDS):
        if not dispatching.dispatch(_now()).more:
            break
    gathering.release(_now())
    if settings.SEND_MESSAGES:
        sending.send_due(_now, seconds=TURN)


@shared_task(name="reporting.prune")
def prune(**_later: Any) -> None:
    """Forget what was delivered or answered long ago."""
    pruning.prune(before=_now() - KEPT)
    keeping.prune(_now())


@shared_task(name="reporting.reports", soft_time_limit=REPORT_LIMIT, time_limit=REPORT_LIMIT + 30)
def reports(**_later: Any) -> None:
    """Want every report that has become due, and make those that wait."""
    making.want_due(_now())
    making.make_waiting(_now, seconds=REPORTS_TURN)


@shared_task(name="reporting.report", soft_time_limit=REPORT_LIMIT, time_limit=REPORT_LIMIT + 30)
def report(*, report_id: int, **_later: Any) -> None:
    """Make a report that a person asked for."""
    making.make_one(report_id, _now)


def _now() -> datetime:
    return datetime.now(UTC)
