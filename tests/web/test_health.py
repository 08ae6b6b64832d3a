"""Health and figures: each check turns red by the real thing going wrong, and strangers learn little."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.db import connection, connections
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from apps.access.models import Scope
from apps.journal import pulses
from apps.journal.models import Lease, Pulse
from apps.market.models import FeedStatus, Instrument
from apps.web import health, metrics
from tests.servers import PrivateServers
from tests.web.conftest import Caller, caller_for, drain, make_user, now
from workers import queues

FAR = {"REMOTE_ADDR": "203.0.113.9"}


@pytest.fixture
def running(btc: Instrument) -> None:
    """Leave the signs of life that a running site leaves."""
    at = now()
    for role in ("listener:0", "beat"):
        Lease.objects.create(name=role, epoch=3, holder="here:1", acquired_at=at, renewed_at=at)
    for role in ("sweeper", "worker:exits", "listener:0"):
        pulses.beat(role, {"ticks": 40, "state": "live"}, started_at=at, now=at)


def ready() -> tuple[int, dict[str, Any]]:
    answer = Client().get("/health/ready")
    return answer.status_code, answer.json()


def red() -> set[str]:
    return {name for name, check in ready()[1]["checks"].items() if not check["ok"]}


def away(work: Callable[[], Any]) -> Any:
    """Run in a thread whose database connection leads to a port where nobody listens."""

    def run() -> Any:
        link = connections["default"]
        link.settings_dict = {**link.settings_dict, "HOST": "127.0.0.1", "PORT": "1"}
        try:
            return work()
        finally:
            link.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def test_alive_asks_nobody(db: None) -> None:
    answer = away(lambda: Client().get("/health/live"))
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_ready_when_all_is_there(running: None) -> None:
    status, answer = ready()
    assert (status, answer["status"]) == (200, "ok"), answer
    assert list(answer["checks"]) == list(health.names())


def test_each_silent_process_turns_its_own_check_red(running: None) -> None:
    old = now() - timedelta(seconds=16)
    Pulse.objects.filter(name="sweeper").update(beat_at=old)
    assert red() == {"sweeper"}
    Pulse.objects.filter(name="worker:exits").update(beat_at=old)
    assert red() == {"sweeper", "worker:exits"}
    Lease.objects.update(renewed_at=old)
    assert red() == {"sweeper", "worker:exits", "listener:0", "beat"}
    assert ready()[0] == 503


@pytest.mark.parametrize(
    ("name", "allowed"), [("sweeper", 10), ("worker:exits", 15), ("listener:0", 5), ("beat", 10)], ids=str
)
def test_a_check_turns_red_exactly_when_its_time_has_passed(running: None, name: str, allowed: int) -> None:
    at = now()
    for late, good in ((allowed - 1, True), (allowed + 1, False)):
        since = at - timedelta(seconds=late)
        Pulse.objects.filter(name=name).update(beat_at=since)
        Lease.objects.filter(name=name).update(renewed_at=since)
        (check,) = [check for check in health.checks(at) if check.name == name]
        assert check.ok is good, check.seen


@pytest.mark.parametrize(
    ("name", "good"),
    [("worker:all", True), ("worker:exits,orders", True), ("worker:orders", False), ("worker:", False)],
)
def test_any_worker_that_takes_exits_will_do(running: None, name: str, good: bool) -> None:
    Pulse.objects.filter(name="worker:exits").update(name=name)
    assert ("worker:exits" not in red()) is good


def test_a_site_that_never_ran_says_so(btc: Instrument) -> None:
    checks = ready()[1]["checks"]
    assert "no listener has led yet" in checks["listener:0"]["seen"]
    assert "no sign of life" in checks["sweeper"]["seen"]


def test_every_shard_needs_a_leader(running: None, settings: Settings) -> None:
    settings.LISTENER_SHARDS = 2
    assert red() == {"listener:1"}


def test_a_shard_that_has_instruments_needs_a_leader_whatever_is_set(running: None) -> None:
    assert "listener:3" not in red()
    Instrument.objects.update(shard=3)
    assert "listener:3" in red()
    Instrument.objects.update(enabled=False)
    assert "listener:3" not in red()


def test_a_migration_that_is_missing_is_named(running: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'trading' AND name = '0001_initial'")
    assert red() == {"migrations"}
    assert "trading.0001_initial" in ready()[1]["checks"]["migrations"]["seen"]


def test_a_clock_that_is_off_is_seen(running: None) -> None:
    checks = health.checks(now() + timedelta(seconds=3))
    assert [check.ok for check in checks if check.name == "clock"] == [False]


def test_pickles_are_not_accepted(running: None, settings: Settings) -> None:
    settings.CELERY_ACCEPT_CONTENT = ["json", "pickle"]
    assert red() == {"celery"}


def test_without_the_database_it_is_not_ready_and_says_so(running: None) -> None:
    answer = away(lambda: Client().get("/health/ready"))
    assert answer.status_code == 503
    assert not answer.json()["checks"]["database"]["ok"]
    assert answer.json()["checks"]["redis"]["ok"]
    stranger = away(lambda: Client(headers={"authorization": "Bearer ts_" + "0" * 64}, **FAR).get("/health/ready"))
    assert (stranger.status_code, stranger.json()) == (503, {"status": "failing"})


def test_without_the_database_the_api_asks_to_try_later(ada: Caller) -> None:
    for answer in (away(lambda: ada.get("/api/v1/positions")), away(lambda: ada.post("/api/v1/positions", {}))):
        assert answer.status_code == 503
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.faults
def test_an_unsafe_redis_turns_its_check_red(
    running: None, settings: Settings, private_servers: Callable[[], PrivateServers]
) -> None:
    server = private_servers()
    settings.REDIS_URL = server.redis_url
    assert "redis" not in red()
    with closing(redis.Redis.from_url(server.redis_url)) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert "noeviction" in ready()[1]["checks"]["redis"]["seen"]
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendonly", "no")
        assert "appendonly" in ready()[1]["checks"]["redis"]["seen"]
        client.config_set("appendonly", "yes")
        assert "redis" not in red()
        client.config_set("requirepass", "")
        assert "password" in ready()[1]["checks"]["redis"]["seen"]
    server.kill_redis()
    assert "redis" in red()
    assert "redis_up 0.0" in Client().get("/metrics").content.decode()


def test_a_redis_user_that_may_not_look_says_what_to_allow(running: None, settings: Settings) -> None:
    name = f"narrow-{os.getpid()}"
    with closing(redis.Redis.from_url(settings.REDIS_URL)) as client:
        client.acl_setuser(name, enabled=True, passwords=["+narrow"], categories=["+@all", "-@dangerous"], keys=["*"])
        try:
            place = settings.REDIS_URL.rpartition("@")[2]
            settings.REDIS_URL = f"redis://{name}:narrow@{place}"
            assert "INFO" in ready()[1]["checks"]["redis"]["seen"]
        finally:
            client.acl_deluser(name)


# --- who sees what ----------------------------------------------------------------------------------------------------
def test_a_stranger_learns_only_whether_it_is_well(running: None) -> None:
    assert Client(**FAR).get("/health/ready").json() == {"status": "ok"}
    Pulse.objects.all().delete()
    answer = Client(**FAR).get("/health/ready")
    assert (answer.status_code, answer.json()) == (503, {"status": "failing"})


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip", "via"])
def test_a_proxy_on_this_machine_does_not_make_a_stranger_local(running: None, header: str) -> None:
    client = Client(headers={header: "203.0.113.9"})
    assert "checks" not in client.get("/health/ready").json()
    assert client.get("/metrics").status_code == 403


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1"])
def test_this_machine_sees_everything(running: None, address: str) -> None:
    client = Client(REMOTE_ADDR=address)
    assert "checks" in client.get("/health/ready").json()
    assert client.get("/metrics").status_code == 200


@pytest.mark.parametrize("address", ["10.0.0.1", "", "nonsense", "::ffff:10.0.0.1"])
def test_another_machine_does_not(running: None, address: str) -> None:
    client = Client(REMOTE_ADDR=address)
    assert "checks" not in client.get("/health/ready").json()
    assert client.get("/metrics").status_code == 403


def test_staff_see_everything_by_token_or_session_and_others_do_not(running: None) -> None:
    staff, trader = make_user("staff", is_staff=True), make_user("trader")
    for user, seen in ((staff, True), (trader, False)):
        token = caller_for(user, Scope.READ).token
        session = Client(**FAR)
        session.force_login(user)
        for client in (Client(headers={"authorization": f"Bearer {token}"}, **FAR), session):
            assert ("checks" in client.get("/health/ready").json()) is seen
            assert client.get("/metrics").status_code == (200 if seen else 403)


def test_health_is_never_cached_and_only_read(running: None) -> None:
    assert Client().get("/health/ready").headers["Cache-Control"] == "no-store"
    assert [Client().post(path).status_code for path in ("/health/live", "/health/ready", "/metrics")] == [405] * 3


# --- figures ----------------------------------------------------------------------------------------------------------
def figures() -> dict[str, dict[tuple[str, ...], float]]:
    """Read the figures as Prometheus would."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(Client().get("/metrics").content.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_figures_follow_what_happens(ada: Caller, running: None) -> None:
    at = now()
    FeedStatus.objects.create(name="coinbase:0", state="live", since=at, counters={"gaps": 2, "note": "x"})
    ids = [ada.open()["id"] for _ in range(3)]
    ada.post(f"/api/v1/positions/{ids[0]}/close")
    drain()
    ada.post(f"/api/v1/positions/{ids[1]}/close")
    seen = figures()
    assert seen["tradingsite_positions_open"] == {("BTC-USD",): 2}
    assert seen["tradingsite_exits"] == {("done",): 1, ("triggered",): 1}
    assert seen["tradingsite_exits_waiting"][()] == 1
    assert 0 <= seen["tradingsite_exit_oldest_waiting_seconds"][()] < 60
    assert 0 < seen["tradingsite_exit_latency_quantile_seconds"][("0.99",)] < 60
    assert seen["tradingsite_exit_latency_seconds_bucket"][("+Inf",)] == 1
    assert seen["tradingsite_events_total"][()] > 0
    assert set(seen["tradingsite_ticks_total"].values()) == {40}
    assert seen["tradingsite_feed_state"] == {("coinbase:0", "live"): 1}
    assert seen["tradingsite_feed_count"] == {("coinbase:0", "gaps"): 2}
    assert 0 <= seen["tradingsite_quote_age_seconds"][("BTC-USD",)] < 60
    assert len(seen["tradingsite_pulse_age_seconds"]) == 3
    assert seen["tradingsite_database_up"][()] == seen["tradingsite_redis_up"][()] == 1
    assert set(seen["tradingsite_queue_messages"]) == {(name,) for name in queues.NAMES}


def test_a_message_in_a_queue_is_counted(btc: Instrument, settings: Settings) -> None:
    with closing(redis.Redis.from_url(settings.REDIS_URL)) as client:
        client.lpush("tradingsite:backtests", "1", "2")
        try:
            assert figures()["tradingsite_queue_messages"][("backtests",)] == 2
        finally:
            client.delete("tradingsite:backtests")


def test_figures_of_a_database_that_is_away_say_so(running: None) -> None:
    text = away(lambda: Client().get("/metrics")).content.decode()
    assert "tradingsite_database_up 0.0" in text
    assert "tradingsite_redis_up 1.0" in text


def test_the_queues_counted_are_the_queues_there_are() -> None:
    assert metrics.QUEUES == queues.NAMES
