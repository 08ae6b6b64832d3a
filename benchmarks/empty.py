"""A Celery task that does nothing, to know what Celery alone costs; a worker loads it by `--include`."""

import time
from functools import cache
from typing import Final

from celery import shared_task
from django.conf import settings
from redis import Redis

NAME: Final = "bench.empty"
STARTED: Final = "bench:started"


@shared_task(name=NAME)
def empty(sent_ns: int) -> None:
    """Note how long the way here took, after the fact."""
    took = time.time_ns() - sent_ns
    _client().rpush(STARTED, took)


@cache
def _client() -> "Redis":
    return Redis.from_url(settings.REDIS_URL)
