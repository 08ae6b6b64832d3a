"""The tasks of `market`."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.market.services import candles


@shared_task(name="market.roll_up")
def roll_up(**_later: Any) -> None:
    """Make the candles of what was traded lately."""
    candles.roll_up(timezone.now())


@shared_task(name="market.partitions")
def partitions(**_later: Any) -> None:
    """Make the partitions of the coming days and drop what is too old to keep."""
    candles.upkeep(timezone.now())
