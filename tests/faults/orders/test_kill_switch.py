"""The kill switch while something is broken: how long after it does the last order reach the venue?"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

import psycopg2
import pytest
from django.db import Error, connection

from apps.domain.errors import Refused
from apps.domain.restrictions import Scope, TradingState
from apps.trading.models import Order
from apps.trading.services import entering, restrictions
from tests import factories
from tests.faults.orders.rig import Rig, rigged
from tests.faults.sites import stopped
from tests.flow.worlds import Cluster, World, eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

BOUND = 2.0  # seconds
NAMES = ("flow-a", "flow-b")
LISTENS = 4.0  # seconds in which wishes go on after the switch


class Wishes(threading.Thread):
    """Wishes to enter, at the market, some ten times a second, whatever is answered."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(name="wishes", daemon=True)
        self.refused = 0
        self._rig = rig
        self._ending = threading.Event()

    def run(self) -> None:
        try:
            while not self._ending.wait(0.05):
                for name in NAMES:
                    self._wish(name)
        finally:
            connection.close()

    def stop(self) -> None:
        self._ending.set()
        self.join(30)

    def _wish(self, name: str) -> None:
        wish = factories.wish(self._rig.accounts[name], self._rig.instruments[name], quantity=Decimal("0.01"))
        try:
            entering.enter(entering.Entry(opening=wish), now=factories.now())
        except Refused:
            self.refused += 1
        except Error:
            connection.close()


@pytest.fixture(scope="module")
def rig(make_world: Callable[[], World], cluster: Cluster) -> Iterator[Rig]:
    with rigged(make_world(), cluster.servers, {name: {"read_timeout": 2.0} for name in NAMES}) as made:
        yield made


@pytest.fixture
def wishes(rig: Rig) -> Iterator[Wishes]:
    """Wishes that are carried out."""
    turn(TradingState.ACTIVE)
    made = Wishes(rig)
    made.start()
    before = len(at_venue(rig))
    eventually(lambda: len(at_venue(rig)) > before + 10, 40)
    yield made
    made.stop()
    rig.servers.mend()
    rig.servers.restart_redis()


def turn(state: TradingState) -> None:
    wanted = restrictions.Order(
        state=state, scope=Scope.SITE, reason="a test of the switch", actor="test", source="command"
    )
    restrictions.order(wanted, now=factories.now())


def at_venue(rig: Rig) -> list[dict[str, object]]:
    return [one for name in NAMES for one in rig.venue.orders(name)]


# --- what is broken ---------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def nothing(rig: Rig) -> Iterator[None]:
    yield


@contextlib.contextmanager
def redis_killed(rig: Rig) -> Iterator[None]:
    rig.servers.kill_redis()
    yield


@contextlib.contextmanager
def redis_frozen(rig: Rig) -> Iterator[None]:
    rig.servers.pause_redis()
    yield
    rig.servers.resume_redis()


@contextlib.contextmanager
def broker_frozen(rig: Rig) -> Iterator[None]:
    with stopped(rig.world.running["simulator"].pid):
        yield


@contextlib.contextmanager
def broker_slow(rig: Rig) -> Iterator[None]:
    rig.venue.fault("order_slow:seconds=1.5,count=0")
    yield
    rig.venue.fault("clear")


@contextlib.contextmanager
def database_busy(rig: Rig) -> Iterator[None]:
    """Keep the database computing, and somebody in front of the accounts most of the time."""
    ending = threading.Event()
    says = (
        "SELECT count(*) FROM generate_series(1, 3000000)",
        "SELECT id, pg_sleep(0.3) FROM trading_account FOR NO KEY UPDATE",
        "SELECT id, pg_sleep(0.01) FROM trading_position ORDER BY id DESC LIMIT 20 FOR NO KEY UPDATE",
    )

    def work(statement: str) -> None:
        with contextlib.closing(psycopg2.connect(rig.world.database_url)) as link:
            link.autocommit = True
            while not ending.is_set():
                link.cursor().execute(statement)

    threads = [threading.Thread(target=work, args=(one,)) for one in says * 2]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            thread.join(20)


@pytest.mark.parametrize(
    "broken",
    [nothing, redis_killed, redis_frozen, broker_slow, broker_frozen, database_busy],
    ids=lambda one: one.__name__,
)
def test_nothing_new_reaches_the_venue_after_the_switch(
    rig: Rig, wishes: Wishes, broken: Callable[[Rig], contextlib.AbstractContextManager[None]]
) -> None:
    """An order counts as new when its sending began after the switch; what was on its way to a venue that stood still
    arrives when that wakes, and is told apart."""
    with broken(rig):
        time.sleep(0.5)
        before = datetime.now(UTC)
        turn(TradingState.HALTED)
        halted = datetime.now(UTC)
        took = (halted - before).total_seconds()
        time.sleep(LISTENS)
    time.sleep(1)
    wishes.stop()
    sent = {one.client_id: one.sent_at for one in Order.objects.filter(purpose="entry", sent_at__isnull=False)}
    arrived = {str(one["client_id"]): float(str(one["created_us"])) / 1e6 - before.timestamp() for one in at_venue(rig)}
    last_sent = max((at - before).total_seconds() for at in sent.values() if at)
    late = {key: at for key, at in arrived.items() if at > BOUND}
    last = max(at for key, at in arrived.items() if key not in late)
    print(
        f"\n  {broken.__name__:16} switch took {took:5.3f} s   last sent {last_sent:6.3f}   last arrived {last:6.3f} s"
        f"   on their way before: {len(late)}"
    )
    assert wishes.refused > 10  # wishes went on, and were refused
    assert took < BOUND
    assert last_sent <= BOUND
    assert [key for key in late if sent[key] > halted] == []
    assert not late or broken is broker_frozen
    eventually(lambda: not Order.objects.filter(status__in=("new", "submitting")).exists(), 45)
    assert len(at_venue(rig)) == len(arrived)


def test_without_the_switch_orders_go_on(rig: Rig, wishes: Wishes) -> None:
    """The negative control: this is what the other tests would see if nothing held the orders back."""
    before = datetime.now(UTC)
    time.sleep(3)
    later = [one for one in at_venue(rig) if float(str(one["created_us"])) / 1e6 > before.timestamp() + BOUND]
    assert len(later) > 3
