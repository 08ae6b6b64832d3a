"""PostgreSQL and Redis killed, frozen and emptied under load."""

import random
import signal
import time
from collections.abc import Callable, Iterator

import pytest
import redis
from django.db import Error, connection

from apps.ops import servers
from tests.faults.sites import Supervised, until
from tests.flow.worlds import Cluster, World, eventually

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def running(make_world: Callable[[], World], cluster: Cluster) -> Iterator[Supervised]:
    site = Supervised(make_world(), cluster.servers)
    try:
        site.wait_until_green()
        site.begin()
        yield site
    finally:
        site.close()


@pytest.fixture
def site(running: Supervised) -> Iterator[Supervised]:
    running.wait_until_green(30)
    yield running
    running.servers.mend()
    running.servers.restart_redis()


def rings(site: Supervised) -> int:
    """Return how many batches a Celery worker executed: it only comes when somebody rang."""
    return int(site.ask("SELECT count(*) FROM trading_drain WHERE worker LIKE 'worker%'"))


def test_redis_killed_and_not_there_for_a_while(site: Supervised) -> None:
    with site.fault("Redis: kill -9, away for 4 s, then restarted", bound=5.0, after=3):
        site.servers.kill_redis()
        time.sleep(4)
        assert not servers.alive("redis", site.servers.state)
        site.servers.restart_redis()
    before = rings(site)
    eventually(lambda: rings(site) > before, 20)


def test_redis_emptied(site: Supervised) -> None:
    with site.fault("Redis: FLUSHALL, five times", bound=5.0):
        client = redis.Redis.from_url(site.servers.redis_url)
        for _ in range(5):
            client.flushall()
            time.sleep(0.4)
        client.close()
    before = rings(site)
    eventually(lambda: rings(site) > before, 10)


def test_a_frozen_redis_blocks_no_listener(site: Supervised) -> None:
    leader = site.leader()
    with site.fault("Redis: SIGSTOP for 4 s", bound=5.0, after=3):
        site.servers.pause_redis()
        ticks = site.facts(leader)["ticks"]
        seconds = until(lambda: site.facts(leader)["ticks"] > ticks + 50, 4)
        time.sleep(max(4 - seconds, 0))
        site.servers.resume_redis()
    assert site.leader() == leader


def test_postgresql_restarted_at_once(site: Supervised) -> None:
    with site.fault("PostgreSQL: immediate shutdown, started again", bound=5.0, after=3):
        site.servers.stop_postgres("immediate")
        site.servers.start_postgres()
        connection.close()


def test_postgresql_killed(site: Supervised) -> None:
    with site.fault("PostgreSQL: kill -9 of the postmaster, started again", bound=6.0, after=3):
        site.servers.stop_postgres("kill")
        site.servers.start_postgres()
        connection.close()


def test_postgresql_frozen(site: Supervised) -> None:
    # Four seconds: the invariant on stored ticks calls an exit missed that is written five seconds after its tick.
    with site.fault("PostgreSQL: SIGSTOP of the whole server for 4 s", bound=6.0, after=3):
        site.servers.pause_postgres()
        time.sleep(4)
        site.servers.resume_postgres()


def test_backends_ended_at_random(site: Supervised) -> None:
    chance = random.Random(4)
    others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ended = 0
    with site.fault("PostgreSQL: random backends ended for 8 s", bound=5.0, after=2):
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            try:
                with connection.cursor() as cursor:
                    cursor.execute(others)
                    pids = [row[0] for row in cursor]  # none, when all of them have just been ended
                    for pid in pids and [chance.choice(pids)]:
                        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
                        ended += 1
            except Error:
                connection.close()
            time.sleep(0.25)
    assert ended > 15


def test_a_lock_holder_that_hangs_is_thrown_out(site: Supervised) -> None:
    """Somebody locks every open position and goes to sleep: the server ends the session, the exits go on."""
    holder = site.world.spawn("holder", _holder(), {})
    try:
        held = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holder'"
        eventually(lambda: site.ask(f"{held} AND state = 'idle in transaction'") > 0)
        holder.send_signal(signal.SIGSTOP)
        assert until(lambda: site.ask(held) == 0, 15) < 13
    finally:
        site.world.stop("holder")
    began = time.time()
    time.sleep(2)
    eventually(lambda: not site.verdict(began, time.time() - 1, bound=0.0).open, 10)


def _holder() -> tuple[str, ...]:
    import sys

    code = (
        "import os, time, psycopg2\n"
        "raw = psycopg2.connect(os.environ['DATABASE_URL'], application_name='holder',\n"
        "    options='-c idle_in_transaction_session_timeout=10000')\n"
        "raw.cursor().execute(\"SELECT 1 FROM trading_position WHERE status = 'open' FOR UPDATE\")\n"
        "time.sleep(60)\n"
    )
    return (sys.executable, "-c", code)
