"""Each fault of a server is caused for real, and the doctor names it."""

import contextlib
from collections.abc import Iterator, Sequence

import psycopg2
import pytest
import redis
from pytest_django import Settings

from apps.ops import servers
from apps.ops.doctor import Finding, Level, examine, stores
from apps.ops.servers import identity, places
from tests import factories
from tests.servers import PrivateServers, temporary_folder


@pytest.fixture(scope="module")
def pair() -> Iterator[PrivateServers]:
    with temporary_folder("tradingsite-doctor-") as folder, servers.lease(folder / "servers") as addresses:
        made = PrivateServers(folder / "servers", addresses)
        yield made
        made.mend()


@pytest.fixture
def site(pair: PrivateServers, settings: Settings) -> PrivateServers:
    """Let the settings name the private pair."""
    settings.DATABASE_URL = settings.MARKET_DATABASE_URL = pair.database_url
    settings.REDIS_URL = settings.BROKER_URL = pair.redis_url
    return pair


@pytest.fixture
def client(site: PrivateServers) -> Iterator[redis.Redis]:
    with contextlib.closing(redis.Redis.from_url(site.redis_url)) as found:
        yield found
        found.config_set("maxmemory-policy", "noeviction")
        found.config_set("appendonly", "yes")
        found.config_set("maxmemory", str(512 * 1024**2))


def wrong(found: Sequence[Finding]) -> list[tuple[str, str]]:
    """Name what is wrong; each of it says what to do."""
    assert all(one.do for one in found if one.level is Level.WRONG)
    return [(one.area, one.name) for one in found if one.level is Level.WRONG]


def alter(site: PrivateServers, statement: str) -> None:
    known = identity.recall(places.settle(site.state))
    assert known is not None
    link = psycopg2.connect(
        host="127.0.0.1", port=known.ports["postgresql"], user="postgres", password=known.superuser, dbname="postgres"
    )
    link.autocommit = True
    with contextlib.closing(link), link.cursor() as cursor:
        cursor.execute(statement)
        cursor.execute("SELECT pg_reload_conf(), pg_sleep(0.2)")


def test_our_own_servers_are_well(site: PrivateServers) -> None:
    found = [*stores.database(factories.now()), *stores.market(), *stores.redis(), *stores.broker()]
    assert wrong(found) == []
    assert {(one.area, one.name) for one in found} >= {
        ("database", "reachable"),
        ("database", "clock"),
        ("redis", "reachable"),
        ("redis", "password"),
        ("queues", "lengths"),
    }


@pytest.mark.parametrize("name", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_database_that_may_lose_commits_is_named(site: PrivateServers, name: str) -> None:
    alter(site, f"ALTER SYSTEM SET {name} = off")
    try:
        assert wrong(list(stores.database(factories.now()))) == [("database", name)]
    finally:
        alter(site, f"ALTER SYSTEM RESET {name}")


def test_clocks_that_differ_are_named(site: PrivateServers) -> None:
    ahead = factories.now() + factories.timedelta(seconds=5)
    (clock,) = [one for one in stores.database(ahead) if one.level is Level.WRONG]
    assert clock.name == "clock"
    assert "differ by 5." in clock.seen or "differ by 4." in clock.seen


def test_an_evicting_redis_without_a_log_is_named(client: redis.Redis) -> None:
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("appendonly", "no")
    assert wrong(list(stores.redis())) == [("redis", "eviction"), ("redis", "append-only")]


def test_a_full_redis_is_named(client: redis.Redis) -> None:
    used = int(client.info("memory")["used_memory"])
    client.config_set("maxmemory", str(int(used * 1.1)))
    assert wrong(list(stores.redis())) == [("redis", "memory")]


def test_a_redis_that_answers_strangers_is_named(client: redis.Redis, site: PrivateServers) -> None:
    password = site.redis_url.partition(":@")[2] or site.redis_url.split("redis://:")[1].partition("@")[0]
    client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], commands=["+@all"])
    try:
        assert ("redis", "password") in wrong(list(stores.redis()))
    finally:
        client.acl_setuser("default", enabled=True, reset_passwords=True, passwords=[f"+{password}"], keys=["*"])
    assert wrong(list(stores.redis())) == []


def test_a_smaller_user_is_told_from_one_that_may_do_everything(client: redis.Redis, settings: Settings) -> None:
    rights = {one.name: one.level for one in stores.redis()}
    assert rights["rights"] is Level.NOTE
    client.acl_setuser(
        "site", enabled=True, passwords=["+word-of-the-site"], keys=["tradingsite:*"], commands=["+@all", "-@admin"]
    )
    settings.REDIS_URL = settings.REDIS_URL.replace("redis://:", "redis://site:").replace(
        settings.REDIS_URL.split(":")[2].partition("@")[0], "word-of-the-site"
    )
    try:
        rights = {one.name: one.level for one in stores.redis()}
        assert rights["rights"] is Level.OK
    finally:
        client.acl_deluser("site")


def test_a_queue_that_nobody_empties_is_named(client: redis.Redis, settings: Settings) -> None:
    key = f"{settings.CELERY_BROKER_TRANSPORT_OPTIONS['global_keyprefix']}exits"
    client.lpush(key, *range(stores.LONG["exits"] + 1))
    try:
        assert wrong(list(stores.redis())) == [("queues", "exits")]
    finally:
        client.delete(key)


def test_servers_that_are_away_are_named_and_nothing_else_is_asked(settings: Settings) -> None:
    settings.DATABASE_URL = "postgres://app:secretword@127.0.0.1:1/site"
    settings.MARKET_DATABASE_URL = "postgres://app:secretword@127.0.0.1:2/market"
    settings.REDIS_URL = "redis://:secretword@127.0.0.1:1/0"
    settings.BROKER_URL = "amqp://app:secretword@127.0.0.1:1//"
    found = examine(factories.now())
    servers_away = [one for one in found if one.area in {"database", "redis", "broker"}]
    assert wrong(servers_away) == [
        ("database", "reachable"),
        ("database", "market"),
        ("redis", "reachable"),
        ("broker", "reachable"),
    ]
    assert not {one.area for one in found} & {"tables", "processes", "timetable"}
    assert "secretword" not in "".join(f"{one.seen}{one.do}" for one in found)
