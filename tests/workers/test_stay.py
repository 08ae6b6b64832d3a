"""A worker that stays by the bell is called directly; one that is gone, hung or leaving loses no ring."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
from django.conf import settings

from tests.workers.conftest import PREFIX, eventually
from workers import bell, stay

EXITS = f"{PREFIX}exits"


class Door:
    """A table of rows, a worker that looks at it, and the bell between."""

    def __init__(self) -> None:
        self.table: list[int] = []
        self.seen: set[int] = set()
        self.looks = 0
        self.ringing, self.worker = make(), make()

    def arrive(self, number: int) -> None:
        self.table.append(number)
        self.ringing.ring()

    def look(self) -> None:
        self.looks += 1
        self.seen.update(self.table)

    @contextmanager
    def staying(self) -> Iterator[None]:
        """Have the worker stay until it leaves by itself."""
        thread = threading.Thread(target=self.worker.stay, args=(self.look,))
        thread.start()
        client = redis.Redis.from_url(settings.REDIS_URL)
        eventually(lambda: client.exists(stay.MARK), 2)
        yield
        thread.join(stay.AT_MOST + 2)
        assert not thread.is_alive()
        client.close()


def make() -> bell.Bell:
    return bell.Bell(bell._publisher(), settings.REDIS_URL)


@pytest.fixture
def door(broker: "redis.Redis") -> Door:
    broker.delete(stay.MARK)
    return Door()


def test_who_stays_is_called_and_no_task_is_sent(door: Door, broker: "redis.Redis") -> None:
    with door.staying():
        for number in range(20):
            door.arrive(number)
            eventually(lambda number=number: number in door.seen, 1)
    assert broker.llen(EXITS) == 0
    assert not broker.exists(stay.MARK, bell.KEY)


def test_it_leaves_when_it_is_quiet_and_then_a_task_is_sent(door: Door, broker: "redis.Redis") -> None:
    begun = time.monotonic()
    with door.staying():
        pass
    assert stay.IDLE <= time.monotonic() - begun < stay.IDLE + 0.5
    door.arrive(1)
    assert broker.llen(EXITS) == 1


def test_it_leaves_after_a_while_although_it_rings_all_the_time(door: Door, broker: "redis.Redis") -> None:
    begun = time.monotonic()
    thread = threading.Thread(target=door.worker.stay, args=(door.look,))
    thread.start()
    eventually(lambda: broker.exists(stay.MARK), 2)
    while thread.is_alive():
        assert time.monotonic() - begun < stay.AT_MOST + 2
        door.arrive(door.looks)
        time.sleep(0.005)
    assert door.looks > 50
    thread.join()


def test_one_at_a_time_stays(door: Door) -> None:
    with door.staying():
        begun = time.monotonic()
        make().stay(lambda: pytest.fail("a second one was called"))
        assert time.monotonic() - begun < stay.IDLE


def test_rows_that_are_still_being_written_call_nobody_who_stays(door: Door, broker: "redis.Redis") -> None:
    with door.staying():
        door.ringing.ring_ahead()
        assert not broker.exists(bell.KEY)
    assert door.looks == 1  # the last one
    door.ringing.ring_ahead()
    assert broker.llen(EXITS) == 1


def test_a_burst_brings_another_worker_although_one_stays(door: Door, broker: "redis.Redis") -> None:
    with door.staying():
        door.ringing.ring_another()
        assert broker.llen(EXITS) == 1


def test_nobody_behind_the_mark_and_a_task_is_sent(door: Door, broker: "redis.Redis") -> None:
    """A worker killed while it stays leaves its mark behind, and its connection closes."""
    broker.set(stay.MARK, f"{stay.MARK}:dead", px=60_000)
    door.arrive(1)
    assert broker.llen(EXITS) == 1


def test_a_worker_that_hangs_is_passed_over_within_a_tenth_of_a_second(door: Door, broker: "redis.Redis") -> None:
    hanging, released = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        released.wait(10)

    thread = threading.Thread(target=door.worker.stay, args=(hang,))
    thread.start()
    eventually(lambda: broker.exists(stay.MARK), 2)
    door.arrive(1)
    assert hanging.wait(2)
    time.sleep(stay.MARK_MS / 1000 + 0.05)
    door.arrive(2)
    assert broker.llen(EXITS) == 1
    released.set()
    thread.join(stay.AT_MOST + 2)


class Overtaken(stay.Stay):
    """A worker that is called in the instant in which it decides to leave."""

    def __init__(self, client: "redis.Redis", call: Callable[[], None]) -> None:
        super().__init__(client, bell.KEY)
        self._call = call

    def _called(self, calls: object) -> bool:
        self._call()
        time.sleep(stay.IDLE)
        return False


def overtaken(door: Door, look: Callable[[], None]) -> None:
    client = redis.Redis.from_url(settings.REDIS_URL)
    Overtaken(client, lambda: door.arrive(7)).stay(look)
    client.close()


def test_a_ring_that_comes_while_it_leaves_is_looked_after(door: Door, broker: "redis.Redis") -> None:
    overtaken(door, door.look)
    assert broker.llen(EXITS) == 0, "nobody else was sent for"
    assert door.seen == {7}


def test_without_the_last_look_that_ring_would_be_lost(door: Door, broker: "redis.Redis") -> None:
    """The negative control."""
    overtaken(door, lambda: None)
    assert broker.llen(EXITS) == 0
    assert door.seen == set()


def test_a_redis_that_dies_meanwhile_raises_nothing(
    private_servers: Callable[..., "object"], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = private_servers()
    one = bell.Bell(bell._publisher(), servers.redis_url)
    servers.kill_redis()
    one.stay(lambda: pytest.fail("nobody rang"))
