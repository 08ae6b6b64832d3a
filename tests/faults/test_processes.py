"""Processes of a supervised site killed and frozen under load: every crossed level is left once, within its bound."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import psutil
import pytest
from django.db import connection

from apps.journal import leases
from apps.journal.models import Lease
from apps.trading.services import exits
from tests.faults.sites import Supervised, send, stopped, until
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
def site(running: Supervised) -> Supervised:
    running.wait_until_green(30)
    return running


def test_control_run_without_a_fault(site: Supervised) -> None:
    with site.fault("none (control run)", bound=3.0):
        time.sleep(3)


def test_the_children_of_the_exits_worker_killed_again_and_again(site: Supervised) -> None:
    with site.fault("children of the exits worker: kill -9, five times", bound=5.0):
        for _ in range(5):
            for child in site.children_of("worker-exits"):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            time.sleep(0.4)


def test_the_whole_exits_worker_killed(site: Supervised) -> None:
    before = site.restarts("worker-exits")
    with site.fault("exits worker: kill -9, restarted", bound=5.0):
        send(site.pid("worker-exits"), signal.SIGKILL)
        time.sleep(2)
    assert site.restarts("worker-exits") == before + 1


def test_the_leading_listener_killed_beside_a_hot_standby(site: Supervised) -> None:
    leader, epoch = site.leader(), site.epoch()
    with site.fault("leading listener: kill -9, hot standby", bound=3.0):
        send(leader, signal.SIGKILL)
        seconds = until(lambda: site.epoch() > epoch, 5)
        time.sleep(1)
    assert seconds < 1.0
    assert site.leader() != leader


def test_a_leading_listener_that_sleeps_is_replaced_and_writes_nothing_when_it_wakes(site: Supervised) -> None:
    leader, epoch = site.leader(), site.epoch()
    with site.fault("leading listener: SIGSTOP for 10 s, then CONT", bound=5.0):
        with stopped(leader):
            until(lambda: site.epoch() > epoch, 5)
            time.sleep(6)
        time.sleep(1)
    taken = Lease.objects.get(name="listener:0")
    assert taken.epoch == epoch + 1
    late = f"source = 'listener' AND epoch <= {epoch} AND recorded_at > '{taken.acquired_at.isoformat()}'"
    assert site.ask(f"SELECT count(*) FROM trading_exit WHERE {late}") == 0
    # The sleeper learns that somebody led meanwhile, ends, and comes back as the standby.
    eventually(lambda: not psutil.pid_exists(leader) or not site.facts(leader)["leads"], 10)


def test_never_two_leaders(site: Supervised) -> None:
    assert leases.acquire("listener:0", hung_after=timedelta(hours=1)) is None
    locks = "SELECT count(*) FROM pg_locks l JOIN journal_lease j ON j.backend_pid = l.pid AND j.name = 'listener:0' "
    held = locks + "WHERE l.locktype = 'advisory' AND l.granted"
    first = site.epoch()
    most = 0
    with site.fault("leading listener: kill -9, three leaders in turn", bound=5.0):
        for number in range(2):
            send(site.leader(), signal.SIGKILL)
            while site.epoch() == first + number:
                most = max(most, site.ask(held))
            site.wait_until_green(20)
    assert most <= 1
    assert site.epoch() == first + 2
    backwards = "SELECT count(*) FROM (SELECT epoch, lag(epoch) OVER (ORDER BY recorded_at, id) AS before "
    assert site.ask(backwards + "FROM trading_exit WHERE source = 'listener') e WHERE epoch < before") == 0


def test_what_an_earlier_leader_still_wants_to_write_is_refused(site: Supervised) -> None:
    leg = site.ask("SELECT id FROM trading_exitleg WHERE status = 'live' ORDER BY id DESC LIMIT 1")
    lease = Lease.objects.get(name="listener:0")
    crossing = exits.Crossing(leg, "1.00", None, 1, None, lease.renewed_at, lease.renewed_at, lease.renewed_at)
    with pytest.raises(exits.Fenced):
        exits.record_crossings([crossing], fence=exits.Fence("listener:0", lease.epoch - 1), source="listener")
    assert site.ask("SELECT count(*) FROM trading_exit WHERE trigger_price = 1") == 0


def test_the_sweeper_killed(site: Supervised) -> None:
    with site.fault("sweeper: kill -9, restarted", bound=5.0):
        send(site.pid("sweeper"), signal.SIGKILL)
        time.sleep(2)
    overdue = "l.kind = 'time_stop' AND l.status = 'live' AND l.due_at < clock_timestamp() - interval '5 seconds'"
    eventually(lambda: site.ask(f"SELECT count(*) FROM trading_exitleg l WHERE {overdue}") == 0, 10)


def test_everything_at_once(site: Supervised) -> None:
    with site.fault("leader, sweeper and exits worker: kill -9 at once", bound=8.0, after=4):
        for pid in (site.leader(), site.pid("sweeper"), site.pid("worker-exits")):
            send(pid, signal.SIGKILL)
        time.sleep(1)


def test_verify_agrees(site: Supervised) -> None:
    connection.close()
    done = site.world.manage("verify", "--json")
    assert done.returncode == 0, done.stdout
