"""The tasks of `strategies`."""

from collections.abc import Sequence
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from apps.strategies import services as strategies
from apps.trading.services import allocations
from workers import bell


@shared_task(name="strategies.run_due")
def run_due(**_later: Any) -> None:
    """Ask every strategy whose bar has closed, and follow each one's new signals at once."""
    if settings.RUN_STRATEGIES:
        strategies.run_due(timezone.now(), deliver=_follow)


def _follow(signal_ids: Sequence[int]) -> None:
    """Let accounts act on new signals; a slow strategy's come from a thread of its own."""
    if allocations.follow(signal_ids, timezone.now()):
        bell.announce()
