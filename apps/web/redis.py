"""What the site asks Redis about itself: is it safe to ring with, and how long are its queues."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from django.conf import settings
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

TIMEOUT_SECONDS = 2
Away = RedisError


def connect(**without: Any) -> Redis:
    """Return a client with short time-outs; keyword arguments replace parts of REDIS_URL."""
    client = Redis.from_url(settings.REDIS_URL, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS)
    if without:
        client.connection_pool.connection_kwargs.update(without)
    return client


def unsafe() -> list[str]:
    """Return what is wrong with the server for a doorbell and live screens; empty when it is safe. Raises Away."""
    found = []
    with closing(connect()) as client:
        client.ping()
        try:
            server: dict[str, Any] = client.info("everything")
        except NoPermissionError:
            return ["its settings are hidden: allow this user the command INFO"]
    if server.get("maxmemory_policy") != "noeviction":
        found.append(f"maxmemory-policy is {server.get('maxmemory_policy')}: set it to noeviction")
    if not server.get("aof_enabled"):
        found.append("appendonly is off: turn it on")
    if _is_open():
        found.append("it answers without a password: set one")
    return found


def queue_lengths(names: Sequence[str]) -> dict[str, int]:
    """Return how many messages wait in each queue. Raises Away."""
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("global_keyprefix", "")
    with closing(connect()) as client:
        pipe = client.pipeline(transaction=False)
        for name in names:
            pipe.llen(f"{prefix}{name}")
        return dict(zip(names, pipe.execute(), strict=True))


def _is_open() -> bool:
    """Say whether the server lets a stranger in."""
    with closing(connect(username=None, password=None)) as stranger:
        try:
            stranger.ping()
        except (AuthenticationError, NoPermissionError, ResponseError):
            return False
    return True
