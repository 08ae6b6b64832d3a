"""The bell: a burst becomes few rings, none is lost, and a Redis that is dead or frozen costs next to nothing."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from django.conf import settings

from tests.servers import PrivateServers
from tests.workers.conftest import PREFIX, eventually
from workers import bell

EXITS = f"{PREFIX}exits"


def make(url: str | None = None) -> bell.Bell:
    return bell.Bell(bell._publisher(), url or settings.REDIS_URL)


def test_a_ring_sends_one_task(broker: "redis.Redis") -> None:
    make().ring()
    assert broker.llen(EXITS) == 1
    assert b"trading.drain_exits" in broker.lindex(EXITS, 0)


def test_while_one_is_on_its_way_no_other_is_sent(broker: "redis.Redis") -> None:
    make().ring()
    make().ring()
    assert broker.llen(EXITS) == 1


def test_after_the_answer_the_next_ring_goes_out(broker: "redis.Redis") -> None:
    one, other = make(), make()
    one.ring()
    other.answered()
    one.ring()
    assert broker.llen(EXITS) == 2


def test_a_ring_that_nobody_answered_is_forgotten(broker: "redis.Redis") -> None:
    one = make()
    one.ring()
    assert 0 < broker.pttl(bell.KEY) <= bell.IN_FLIGHT_MS
    eventually(lambda: not broker.exists(bell.KEY), 2)
    one.ring()
    assert broker.llen(EXITS) == 2


def test_twenty_at_once_become_few_and_none_is_lost(broker: "redis.Redis") -> None:
    """Every ringer writes its row first; whoever answers reads the rows after the answer, and so must see them all."""
    table: list[int] = []
    seen: set[int] = set()
    rings = 0
    ending = threading.Event()

    def work() -> None:
        nonlocal rings
        client = redis.Redis.from_url(settings.REDIS_URL)
        waiter = make()
        while client.brpop([EXITS], timeout=0.2) or not ending.is_set():
            rings += 1
            waiter.answered()
            seen.update(table)
        client.close()

    bells = [make() for _ in range(4)]  # four processes, so to speak

    def ring(number: int) -> None:
        table.append(number)
        bells[number % 4].ring()

    worker = threading.Thread(target=work)
    worker.start()
    with ThreadPoolExecutor(20) as pool:
        for burst in range(10):
            list(pool.map(ring, range(burst * 20, burst * 20 + 20)))
            eventually(lambda: len(seen) == len(table), 2)
    idle_rings = rings
    ending.set()
    worker.join(5)
    assert len(seen) == 200
    assert idle_rings < 200 / 2, f"{idle_rings} rings for 200 rows is no merging"


class Overtaken(bell.Bell):
    """A bell that is answered, and rung from another thread, while its first ring has not quite returned."""

    overtaken = False

    def _publish(self) -> None:
        super()._publish()
        if not self.overtaken:
            self.overtaken = True
            self.answered()
            other = threading.Thread(target=self.ring)
            other.start()
            other.join()


def test_a_wish_made_while_another_thread_rings_is_carried_out_by_it(broker: "redis.Redis") -> None:
    Overtaken(bell._publisher(), settings.REDIS_URL).ring()
    assert broker.llen(EXITS) == 2


def test_a_bell_that_forgets_a_wish_would_lose_a_row(broker: "redis.Redis") -> None:
    """The negative control: without the answer before the look, the ring of a late row is swallowed."""
    one = make()
    one.ring()
    broker.rpop(EXITS)  # a worker takes the task, looks at the rows, but does not answer
    one.ring()  # the ring of a row written after that look
    assert broker.llen(EXITS) == 0


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_dead_redis_costs_little_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    dead = make(f"redis://127.0.0.1:{closed_port()}/0")
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING, "workers.bell"):
        for _ in range(50):
            dead.ring()
            dead.answered()
            dead.announce()
    assert time.monotonic() - begun < 0.5
    assert len(caplog.records) == 1
    assert "the sweeper makes up for it" in caplog.text


def test_a_frozen_redis_costs_a_second_then_nothing_and_then_works_again(
    private_servers: Callable[[], PrivateServers], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = private_servers()
    monkeypatch.setattr(settings, "CELERY_BROKER_URL", servers.redis_url)
    one, client = make(servers.redis_url), redis.Redis.from_url(servers.redis_url)
    one.ring()
    assert client.llen(EXITS) == 1
    client.delete(bell.KEY)
    servers.pause_redis()
    assert seconds(one.ring) < 2 * bell.PATIENCE
    assert seconds(lambda: [one.ring() for _ in range(100)]) < 0.1, "the breaker keeps later callers free"
    servers.resume_redis()
    time.sleep(bell.PAUSE)
    client.delete(bell.KEY)
    before = client.llen(EXITS)
    one.ring()
    assert client.llen(EXITS) == before + 1
    client.close()


def test_a_restarted_redis_is_rung_at_the_first_try(
    private_servers: Callable[[], PrivateServers], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = private_servers()
    monkeypatch.setattr(settings, "CELERY_BROKER_URL", servers.redis_url)
    one = make(servers.redis_url)
    one.ring()
    servers.kill_redis()
    servers.restart_redis()
    client = redis.Redis.from_url(servers.redis_url)
    client.delete(bell.KEY)
    before = client.llen(EXITS)
    one.ring()
    assert client.llen(EXITS) == before + 1
    client.close()


def test_the_announcement_reaches_the_gateways(broker: "redis.Redis") -> None:
    listener = broker.pubsub()
    listener.subscribe(bell.CHANNEL)
    eventually(lambda: (listener.get_message(timeout=0.1) or {}).get("type") == "subscribe")
    make().announce()
    eventually(lambda: (listener.get_message(timeout=0.1) or {}).get("type") == "message")
    listener.close()


def test_a_forked_child_rings_on_connections_of_its_own(broker: "redis.Redis") -> None:
    bell.ring()
    parent = bell._bell()
    broker.delete(bell.KEY)
    child = os.fork()
    if not child:
        bell.ring()
        os._exit(0 if bell._bell() is not parent else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert broker.llen(EXITS) == 2


def seconds(act: Callable[[], object]) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun
