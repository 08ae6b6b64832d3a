"""The tasks of `market`."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.market.services import candles, gaps, refilling
from apps.ops.jobs import selectors as jobs


@shared_task(name="market.roll_up")
def roll_up(**_later: Any) -> None:
    """Make the candles of what was traded lately."""
    candles.roll_up(timezone.now())


@shared_task(name="market.partitions")
def partitions(**_later: Any) -> None:
    """Make the partitions of the coming days and drop what is too old to keep."""
    candles.upkeep(timezone.now())


@shared_task(name="market.calendars")
def calendars(**_later: Any) -> None:
    """Keep the stored sessions of the calendars in use, and of those that jobs go by, a year ahead."""
    from apps.market.calendars import refresh, standing  # here: it brings pandas, 80 MB no other task needs

    refresh.refresh([*standing.in_use(), *jobs.calendars()], timezone.now())


@shared_task(name="market.find_gaps", soft_time_limit=75, time_limit=80)
def find_gaps(**_later: Any) -> None:
    """Look for what is missing of the prices that came in since the last look."""
    gaps.find(timezone.now())


@shared_task(name="market.refill", soft_time_limit=75, time_limit=80)
def refill(**_later: Any) -> None:
    """Ask the venues for what is missing."""
    refilling.refill(timezone.now())
