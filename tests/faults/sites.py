"""A site under load, and the measure of what a fault does to it."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import psutil
from django.db import Error, connection

from apps.journal.models import Lease, Pulse
from apps.ops import invariants
from apps.ops.supervisor import Supervisor
from tests.faults import figures, truth
from tests.faults.crowd import Crowd
from tests.faults.figures import Figure
from tests.flow import worlds
from tests.flow.worlds import SYMBOLS, Exchange, World, eventually
from tests.servers import PrivateServers

RATE = "50"  # trades per second of both products together
WATCHED = ("listener", "listener-standby", "sweeper", "worker-exits")


class Site:
    """Real processes on a moving market with a crowd that opens positions all the time."""

    def __init__(self, world: World, servers: PrivateServers) -> None:
        self.world = world
        self.servers = servers
        self.exchange: Exchange = world.open_exchange("--rate", RATE, "--products", ",".join(SYMBOLS))
        self.instruments = worlds.instruments(*SYMBOLS)
        self.account = worlds.account()
        self.crowd = Crowd(self.account, self.instruments)
        self._began = time.time()

    # -- the parts ---------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Let the crowd in and wait until positions come and go."""
        self.crowd.start()
        done = "SELECT count(*) FROM trading_exit WHERE status = 'done'"
        eventually(lambda: self.ask(done) > 10, explain=lambda: f"{self.crowd.opened} opened; {self.crowd.refusal}")

    def ask(self, question: str) -> Any:
        """Return the one value of a query, asked again while the database is away."""
        for _ in range(100):
            try:
                with connection.cursor() as cursor:
                    cursor.execute(question)
                    return cursor.fetchone()[0]
            except Error:
                connection.close()
                time.sleep(0.1)
        raise AssertionError("the database stays away")

    def leader(self, role: str = "listener:0") -> int:
        """Return the pid of the process that leads a role, as its lease says."""
        return int(Lease.objects.get(name=role).holder.rpartition(":")[2])

    def epoch(self, role: str = "listener:0") -> int:
        return int(Lease.objects.get(name=role).epoch)

    def facts(self, pid: int) -> dict[str, Any]:
        return dict(Pulse.objects.filter(pid=pid).latest("beat_at").facts)

    # -- the measure -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def fault(self, name: str, *, bound: float, after: float = 1.5) -> Iterator[None]:
        """Judge what is crossed from here until `after` seconds past the end of the block, and record the worst close.

        Every position that a trade crossed is closed exactly once within `bound` seconds, at a price the exchange
        made, and every invariant holds.
        """
        began = time.time()
        yield
        time.sleep(after)
        ended = time.time()
        verdict = self.verdict(began, ended, bound)
        figures.record(Figure(name, verdict.crossed, round(verdict.worst, 3), bound))
        assert verdict.open == [], truth.story(verdict.open[0])
        assert verdict.invented == []
        assert verdict.crossed >= 10, "the market was too quiet to prove anything"
        assert verdict.worst <= bound, truth.story(verdict.slowest)
        self.holds()

    def verdict(self, began: float, ended: float, bound: float) -> truth.Verdict:
        """Judge once everything is closed, at the latest when the bound has passed for the last trade."""
        while True:
            markets = {symbol: truth.market(self.exchange.trades(symbol, self._began)) for symbol in SYMBOLS}
            verdict = truth.judge(markets, began, ended)
            if not verdict.open or time.time() > ended + bound:
                return verdict
            time.sleep(0.1)

    def holds(self) -> None:
        """Assert every invariant, as `manage.py verify` does."""
        found = invariants.check()
        broken = {finding.id: (finding.violations, finding.examples) for finding in found if finding.violations}
        assert broken == {}, broken

    def close(self) -> None:
        if self.crowd.is_alive():
            self.crowd.stop()


class Supervised(Site):
    """A site whose processes are started again when they die, as `manage.py up` does it."""

    def __init__(self, world: World, servers: PrivateServers, names: Sequence[str] = WATCHED) -> None:
        super().__init__(world, servers)
        self.supervisor = Supervisor(world.folder / "log")
        self._ending = threading.Event()
        self._ticking = threading.Thread(target=self._tick, name="supervisor", daemon=True)
        for name in names:
            child = world.child(name)
            self.supervisor.start(replace(child, environment={**world.environment, **child.environment}))
        self._ticking.start()

    def _tick(self) -> None:
        while not self._ending.wait(0.05):
            self.supervisor.tick()

    def pid(self, name: str) -> int:
        """Return the pid of a child, waiting for one that is being started again."""
        found: int = eventually(lambda: next(item.pid for item in self.supervisor.snapshot() if item.name == name))
        return found

    def restarts(self, name: str) -> int:
        return next(item.restarts for item in self.supervisor.snapshot() if item.name == name)

    def is_green(self) -> bool:
        """Say whether every process has given a sign of life and both listeners are at their feed."""
        try:
            return all(worlds.is_well(self.pid(name)) for name in WATCHED)
        except Error:
            connection.close()
            return False

    def wait_until_green(self, patience: float = 60) -> None:
        """Wait until everything runs and is well."""

        def explain() -> str:
            return "\n".join(f"{item.name}: {item.state} {item.last_exit}" for item in self.supervisor.snapshot())

        eventually(self.is_green, patience, explain)

    def children_of(self, name: str) -> list[psutil.Process]:
        return psutil.Process(self.pid(name)).children()

    def close(self) -> None:
        super().close()
        self._ending.set()
        self._ticking.join(10)
        self.supervisor.__exit__(None, None, None)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to one process."""
    psutil.Process(pid).send_signal(number)


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Freeze a process for the block."""
    send(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            send(pid, signal.SIGCONT)


def until(true: Callable[[], Any], patience: float) -> float:
    """Wait for something and return how many seconds it took."""
    began = time.monotonic()
    eventually(true, patience)
    return time.monotonic() - began
