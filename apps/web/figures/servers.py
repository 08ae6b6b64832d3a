"""Figures of PostgreSQL and Redis themselves."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import connection

from apps.journal.figures import Figure, by, one
from apps.web import redis

QUEUES: Final = ("exits", "orders", "market", "strategies", "backtests", "reporting", "ops")
_DATABASE: Final = """
SELECT clock_timestamp(), pg_database_size(current_database()), current_setting('max_connections')::int,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
    (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()),
    (SELECT count(*) FROM pg_locks WHERE NOT granted),
    (SELECT deadlocks FROM pg_stat_database WHERE datname = current_database())
"""
_SERVER: Final = {
    "redis_memory_bytes": ("used_memory", "Memory Redis uses."),
    "redis_memory_limit_bytes": ("maxmemory", "Memory Redis may use; 0: no limit."),
    "redis_clients": ("connected_clients", "Connections to Redis."),
    "redis_evicted_keys": ("evicted_keys", "Keys Redis threw away: lost messages; stays 0 with noeviction."),
}


def database(now: datetime) -> Iterator[Figure]:
    """Yield the figures of PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute(_DATABASE)
        at, size, most, used, longest, blocked, deadlocks = cursor.fetchone()
    yield one(
        "clock_skew_seconds", "How far this machine's clock is from the database's.", abs(at - now).total_seconds()
    )
    yield one("database_bytes", "Size of the database.", size)
    yield one("database_connections", "Connections in use on the server.", used)
    yield one("database_connections_most", "Connections the server allows.", most)
    yield one("database_longest_transaction_seconds", "Age of the oldest transaction of others.", float(longest))
    yield one("database_locks_waiting", "Sessions that wait for a lock.", blocked)
    yield one("database_deadlocks", "Deadlocks since the server's statistics began.", deadlocks or 0)


def broker(names: Sequence[str]) -> list[Figure]:
    """Return the figures of Redis; of a broker that is another server, only those of Redis itself. Raises Away."""
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("global_keyprefix", "")
    with closing(redis.connect()) as client:
        server: dict[str, Any] = client.info("everything")
        kept = int(client.llen(f"{prefix}quarantine"))
    found = [one(name, text, server.get(key, 0)) for name, (key, text) in _SERVER.items()]
    found.append(one("redis_quarantine", "Entries of queues that were no messages and were set aside.", kept))
    safe = server.get("maxmemory_policy") == "noeviction" and bool(server.get("aof_enabled"))
    found.append(one("redis_safe", "1 when Redis evicts nothing and writes an append-only file.", safe))
    lengths = redis.queue_lengths(names) if settings.BROKER_URL.startswith("redis") else {}
    return [*found, by("queue_messages", "Messages waiting in a queue.", "queue", lengths)]
