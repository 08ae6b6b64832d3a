"""The tasks of `strategies`."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.strategies import services as strategies
from apps.trading.services import allocations
from workers import bell


@shared_task(name="strategies.run_due")
def run_due(**_later: Any) -> None:
    """Ask every strategy whose bar has closed, and open what accounts want to open on the new signals."""
    now = timezone.now()
    signal_ids = strategies.run_due(now)
    if signal_ids and allocations.follow(signal_ids, now):
        bell.announce()
