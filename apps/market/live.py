"""Prices for screens: the latest quotes on Redis, which may be lost at any time without harm."""

import json
from collections.abc import Sequence
from typing import Any

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

QUOTES = "tradingsite:quotes"  # pub/sub: a JSON list of quotes, a few times a second
EVENTS = "tradingsite:events"  # pub/sub: a bare doorbell after events were committed

Unreachable = redis.RedisError


def connect() -> "redis.Redis":
    """Return a client that gives up quickly: nothing that matters waits for Redis."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=1,
        socket_connect_timeout=1,
        health_check_interval=10,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
    )


def publish_quotes(client: "redis.Redis", quotes: Sequence[dict[str, Any]]) -> None:
    """Tell every screen the latest quotes. Raises Unreachable."""
    client.publish(QUOTES, json.dumps(quotes))
