"""The servers: are they there, new enough, and set so that nothing is lost."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg2
from django.conf import settings
from kombu import Connection
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from apps.ops import processes
from apps.ops.backups import servers
from apps.ops.backups.errors import BackupFailed
from apps.ops.backups.servers import Target
from apps.ops.doctor.finding import Finding, good, note, wrong

OLDEST: Final = 14  # the oldest PostgreSQL that is still mended by its makers
SKEW: Final = timedelta(seconds=1)
FULL: Final = 0.8
QUEUES: Final = processes.QUEUES
LONG: Final = {"exits": 50, "backtests": 10_000}  # messages; rings for exits merge
LONG_OTHERS: Final = 1000
SECONDS: Final = 3
_FACTS: Final = """
SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
    current_setting('max_connections')::int, clock_timestamp(),
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
"""


def database(now: datetime) -> Iterator[Finding]:
    """Look at the site's PostgreSQL; its last finding is wrong when it cannot be used."""
    target = Target(url=settings.DATABASE_URL)
    try:
        with servers.session(target) as link, link.cursor() as ask:
            major = servers.major(link)
            ask.execute(_FACTS)
            fsync, pages, commits, most, clock, used = ask.fetchone() or ()
    except (BackupFailed, psycopg2.Error) as error:
        do = "start it, or see whether DATABASE_URL names it; nothing is traded until it is back"
        yield wrong("database", "reachable", servers.first_line(error), do)
        return
    if major < OLDEST:
        yield wrong("database", "version", f"PostgreSQL {major} gets no mending any more", f"use {OLDEST} or newer")
    for name, value in (("fsync", fsync), ("full_page_writes", pages), ("synchronous_commit", commits)):
        if value == "off":
            do = f"set {name} = on in its configuration and reload it"
            yield wrong("database", name, f"{name} is off: a loss of power loses trades", do)
    if used > FULL * most:
        do = "raise max_connections, or look for processes that do not end (`SELECT * FROM pg_stat_activity`)"
        yield wrong("database", "connections", f"{used} of {most} connections are taken", do)
    yield _skew(abs(clock - now))
    yield good("database", "reachable", f"PostgreSQL {major} at {target.shown}")


def market() -> Iterator[Finding]:
    """Look at the market store's PostgreSQL when it is another one."""
    target = Target(url=settings.MARKET_DATABASE_URL)
    if target.url == settings.DATABASE_URL:
        return
    try:
        with servers.session(target) as link:
            yield good("database", "market", f"PostgreSQL {servers.major(link)} at {target.shown}")
    except BackupFailed as error:
        do = "start it, or see whether MARKET_DATABASE_URL names it; ticks are lost meanwhile, stops are not"
        yield wrong("database", "market", servers.first_line(error), do)


def redis() -> Iterator[Finding]:
    """Look at Redis: set to lose nothing, closed to strangers, and its queues short."""
    try:
        with closing(_client()) as client:
            facts: dict[str, Any] = client.info("everything")
            yield from _lasting(facts)
            yield from _closed(client)
            yield from _lengths(client)
    except NoPermissionError as error:
        do = "allow the user of REDIS_URL the command INFO: what it is set to cannot be seen"
        yield wrong("redis", "rights", servers.first_line(error), do)
    except (RedisError, OSError) as error:
        do = "start it, or see whether REDIS_URL names it; exits go on meanwhile, by the sweeper"
        yield wrong("redis", "reachable", servers.first_line(error), do)


def broker() -> Iterator[Finding]:
    """Look at the broker when it is not the same Redis."""
    if settings.BROKER_URL == settings.REDIS_URL:
        return
    try:
        with Connection(settings.BROKER_URL, connect_timeout=SECONDS) as link:
            link.ensure_connection(max_retries=1, interval_start=0, timeout=SECONDS)
            yield good("broker", "reachable", link.as_uri())
    except (OperationalError, OSError) as error:
        do = "start it, or see whether BROKER_URL names it; exits go on meanwhile, by the sweeper"
        yield wrong("broker", "reachable", servers.first_line(error), do)


def _skew(skew: timedelta) -> Finding:
    seen = f"this machine's clock and the database's differ by {skew.total_seconds():.3f} s"
    if skew > SKEW:
        return wrong("database", "clock", seen, "synchronise the machines' clocks (chrony, systemd-timesyncd)")
    return good("database", "clock", seen)


def _lasting(facts: dict[str, Any]) -> Iterator[Finding]:
    policy = facts.get("maxmemory_policy")
    if policy != "noeviction":
        seen = f"maxmemory-policy is {policy}: full, it forgets messages and says nothing"
        yield wrong("redis", "eviction", seen, "CONFIG SET maxmemory-policy noeviction, and in its configuration file")
    if not facts.get("aof_enabled"):
        seen = "append-only is off: a restart forgets what was rung"
        yield wrong("redis", "append-only", seen, "CONFIG SET appendonly yes, and in its configuration file")
    elif facts.get("aof_last_write_status", "ok") != "ok":
        yield wrong("redis", "append-only", "its last write to the disk failed", "see its log; the disk may be full")
    used, most = int(facts.get("used_memory", 0)), int(facts.get("maxmemory", 0))
    if most and used > FULL * most:
        seen = f"{used / 1e6:,.0f} of {most / 1e6:,.0f} MB are used; full, it takes no message"
        yield wrong("redis", "memory", seen, "raise maxmemory, or see which queue nobody empties")
    if facts.get("role") == "slave":
        yield wrong("redis", "role", "it is a replica: nothing can be sent", "name the primary in REDIS_URL")
    version = facts.get("valkey_version") or facts.get("redis_version")
    yield good("redis", "reachable", f"version {version}, {used / 1e6:,.0f} MB used")


def _closed(client: Redis) -> Iterator[Finding]:
    with closing(_client(username=None, password=None)) as stranger:
        try:
            stranger.ping()
            do = "set requirepass, or switch the default user off (ACL SETUSER default off)"
            yield wrong("redis", "password", "it answers strangers without a password", do)
        except (AuthenticationError, NoPermissionError, ResponseError):
            yield good("redis", "password", "it asks for a password")
    try:
        bound = str(client.config_get("bind").get("bind", "")).split()
        # A user that may set the configuration may do everything.
        yield note(
            "redis", "rights", "the user of REDIS_URL may do everything", "see docs/security.md for a smaller one"
        )
    except (NoPermissionError, ResponseError):
        yield good("redis", "rights", "the user of REDIS_URL may not change its configuration")
        return
    beyond = [address for address in bound if address.lstrip("-") not in {"127.0.0.1", "::1", "localhost"}]
    if beyond:
        seen = f"it listens beyond this machine: {' '.join(beyond)}"
        yield note("redis", "bind", seen, "let a firewall allow the site's machines alone, and use rediss://")


def _lengths(client: Redis) -> Iterator[Finding]:
    if not settings.BROKER_URL.startswith("redis"):
        return
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("global_keyprefix", "")
    lengths = {name: int(client.llen(f"{prefix}{name}")) for name in QUEUES}
    for name, length in lengths.items():
        if length > LONG.get(name, LONG_OTHERS):
            do = f"see whether a worker takes the queue {name} (its log), or give it more workers"
            yield wrong("queues", name, f"{length:,} messages wait", do)
    yield good("queues", "lengths", ", ".join(f"{name} {length}" for name, length in lengths.items()))


def _client(**without: Any) -> Redis:
    client = Redis.from_url(settings.REDIS_URL, socket_timeout=SECONDS, socket_connect_timeout=SECONDS)
    client.connection_pool.connection_kwargs.update(without)
    return client
