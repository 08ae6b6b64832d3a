"""What each process is worth: levels crossed with parts of the site not running at all, and nobody to restart them."""

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.faults.sites import Site
from tests.flow.worlds import Cluster, World, eventually, family

pytestmark = pytest.mark.faults

LISTENER, SWEEPER, WORKER = "listener", "sweeper", "worker-exits"


class Alone(Site):
    """A site in which exactly the named processes run."""

    def only(self, *names: str) -> None:
        """Stop the others, start what is missing, and wait for it."""
        for name in set(self.world.running) - {*names, "simulator"}:
            self.world.stop(name)
        fresh = [name for name in names if name not in self.world.running]
        for name in fresh:
            self.world.start(name)
        self.world.wait_for(*fresh)


@pytest.fixture(scope="module")
def site(make_world: Callable[[], World], cluster: Cluster) -> Iterator[Alone]:
    alone = Alone(make_world(), cluster.servers)
    try:
        alone.only(LISTENER, SWEEPER)
        alone.begin()
        yield alone
    finally:
        alone.close()


def test_the_sweeper_alone_executes_what_no_worker_does(site: Alone) -> None:
    site.only(LISTENER, SWEEPER)
    with site.fault("no Celery worker at all: listener and sweeper", bound=4.0):
        time.sleep(4)
    assert site.ask("SELECT count(*) FROM trading_drain WHERE worker LIKE 'worker%'") == 0


def test_without_sweeper_and_workers_stops_do_not_close(site: Alone) -> None:
    """The negative control: this is what the other tests would see if nothing executed exits."""
    site.only(LISTENER)
    began = time.time()
    time.sleep(3)
    verdict = site.verdict(began, time.time() - 1.0, bound=0.5)
    assert len(verdict.open) >= 10
    assert len(verdict.open) == verdict.crossed
    waiting = site.ask("SELECT count(*) FROM trading_exit WHERE status = 'triggered'")
    assert waiting >= len(verdict.open)
    site.only(LISTENER, SWEEPER)  # nothing was lost: they are executed once somebody is there
    eventually(lambda: not site.verdict(began, time.time() - 3.0, bound=0.0).open, 10)


def test_a_worker_that_dies_for_good_is_not_missed(site: Alone) -> None:
    site.only(LISTENER, SWEEPER, WORKER)
    with site.fault("exits worker and its children: kill -9, for good", bound=5.0, after=3):
        for process in reversed(family(site.world.running[WORKER].pid)):
            process.kill()
        site.world.stop(WORKER)


def test_a_listener_without_a_standby_finds_what_it_missed_when_it_is_back(site: Alone) -> None:
    site.only(LISTENER, SWEEPER, WORKER)
    with site.fault("only listener: kill -9, started again after a second", bound=8.0, after=3):
        site.world.kill(LISTENER, signal.SIGKILL)
        site.world.stop(LISTENER)
        time.sleep(1)
        site.only(LISTENER, SWEEPER, WORKER)
    assert site.ask("SELECT count(*) FROM market.ticks WHERE refilled") > 0


def test_time_stops_are_the_sweepers_and_wait_for_it(site: Alone) -> None:
    site.only(LISTENER, WORKER)
    due = "FROM trading_exitleg WHERE kind = 'time_stop' AND status = 'live' AND due_at < clock_timestamp()"
    eventually(lambda: site.ask(f"SELECT count(*) {due}") > 0, 15)
    site.only(LISTENER, SWEEPER, WORKER)
    eventually(lambda: site.ask(f"SELECT count(*) {due} - interval '2 seconds'") == 0, 10)
