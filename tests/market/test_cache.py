"""The cache: three tiers, forgetting by key, tag and time across processes, one load for many, and no Redis at all."""

import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.market import cache
from apps.market.cache import Tiers, rows
from apps.market.cache.breaker import Breaker
from apps.market.cache.local import Kept, Memory
from apps.market.cache.rows import INSTRUMENTS
from apps.market.cache.shared import PREFIX, Shared
from apps.market.cache.tiers import LOOKS_EVERY, Wanted
from apps.market.models import Instrument
from tests import factories
from tests.servers import PrivateServers


def wanted(load: Callable[[], Any], key: str = "k", *tags: str, memory: float = 30, shared: float = 30) -> Wanted[Any]:
    return Wanted(
        key=key, tags=tags, memory=memory, shared=shared, load=load, to_json=lambda v: v, from_json=lambda v: v
    )


class Source:
    """Something to load that changes, and counts how often it was asked."""

    def __init__(self, value: Any = 1) -> None:
        self.value = value
        self.loads = 0

    def __call__(self) -> Any:
        self.loads += 1
        return self.value


@pytest.fixture(autouse=True)
def clean_redis(transactional_db: None) -> Iterator[None]:
    """Empty our part of Redis before and after."""

    def sweep() -> None:
        shared = Shared()
        for key in shared._client.scan_iter(PREFIX + "*"):
            shared._client.delete(key)
        shared.close()

    sweep()
    yield
    sweep()


@pytest.fixture
def two() -> Iterator[tuple[Tiers, Tiers]]:
    """The tiers of two processes that share a Redis."""
    pair = Tiers(), Tiers()
    yield pair
    for tiers in pair:
        tiers.shared.close()


def test_the_nearest_tier_answers(two: tuple[Tiers, Tiers]) -> None:
    here, there = two
    source = Source()
    asked = wanted(source)
    assert [here.get(asked), here.get(asked), there.get(asked), there.get(asked)] == [1, 1, 1, 1]
    assert source.loads == 1
    assert here.hits == {"database": 1, "memory": 1}
    assert there.hits == {"shared": 1, "memory": 1}


@pytest.mark.parametrize("what", [{"keys": ["k"]}, {"tags": ["t"]}], ids=["by key", "by tag"])
def test_what_is_forgotten_is_read_anew_in_every_process(two: tuple[Tiers, Tiers], what: dict[str, Any]) -> None:
    here, there = two
    source = Source()
    asked = wanted(source, "k", "t")
    here.get(asked), there.get(asked)
    source.value = 2
    assert (here.get(asked), there.get(asked)) == (1, 1)
    assert here.forget(**what) is True
    assert here.get(asked) == 2
    time.sleep(LOOKS_EVERY * 1.2)
    assert there.get(asked) == 2


def test_another_tag_leaves_redis_alone(two: tuple[Tiers, Tiers]) -> None:
    here, _ = two
    source = Source()
    here.get(wanted(source, "k", "t"))
    here.forget(tags=["other"], keys=["elsewhere"])
    here.get(wanted(source, "k", "t"))
    assert source.loads == 1
    assert here.hits["shared"] == 1


def test_time_forgets_in_memory_and_on_redis(two: tuple[Tiers, Tiers]) -> None:
    here, _ = two
    source = Source()
    asked = wanted(source, memory=0.05, shared=0.1)
    here.get(asked)
    time.sleep(0.15)
    here.get(asked)
    assert source.loads == 2


def test_a_value_read_before_a_forgetting_and_stored_after_it_never_counts(two: tuple[Tiers, Tiers]) -> None:
    here, there = two
    source = Source("old")

    def slow() -> Any:
        value = source()
        source.value = "new"
        there.forget(tags=["t"])  # between our reading and our storing
        here._looked = 0.0
        return value

    here.get(wanted(slow, "k", "t"))
    assert there.get(wanted(source, "k", "t")) == "new"
    assert here.get(wanted(source, "k", "t")) == "new"


def test_many_threads_that_want_one_value_load_it_once(two: tuple[Tiers, Tiers]) -> None:
    here, _ = two
    loads, started = [], threading.Barrier(16)

    def slow() -> int:
        loads.append(1)
        time.sleep(0.2)
        return 7

    found: list[int] = []

    def ask() -> None:
        started.wait()
        found.append(here.get(wanted(slow)))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (found, len(loads)) == ([7] * 16, 1)


def test_an_error_is_told_and_not_kept(two: tuple[Tiers, Tiers]) -> None:
    here, _ = two

    def broken() -> int:
        raise LookupError("no")

    with pytest.raises(LookupError):
        here.get(wanted(broken))
    assert here.get(wanted(Source(3))) == 3


def test_memory_is_bounded_and_the_least_recently_used_goes() -> None:
    memory = Memory(2)
    for key in "ab":
        memory.put(key, Kept(value=key, until=10, generation=0))
    memory.get("a", 0)
    memory.put("c", Kept(value="c", until=10, generation=0))
    assert [memory.get(key, 0) is not None for key in "abc"] == [True, False, True]
    assert memory.get("a", 10) is None
    assert len(memory) == 1


def test_a_stranger_s_text_under_our_key_is_nothing(two: tuple[Tiers, Tiers]) -> None:
    here, _ = two
    for text in ("not json", "[]", '{"versions": 3}', "null"):
        here.shared._client.set(PREFIX + "k", text)
        here.clear()
        assert here.get(wanted(Source(5))) == 5


def test_inside_a_transaction_only_the_database_answers(two: tuple[Tiers, Tiers]) -> None:
    here, _ = two
    source = Source("before")
    here.get(wanted(source))
    with transaction.atomic():
        source.value = "mine, not committed"
        assert here.get(wanted(source)) == "mine, not committed"
    assert here.get(wanted(Source("?"))) == "before"


def test_the_breaker_waits_twice_as_long_each_time_and_lets_one_try() -> None:
    breaker = Breaker()
    assert breaker.may_call(0)
    breaker.failed(0)
    assert [breaker.may_call(at) for at in (0.5, 1.0, 1.0, 1.5)] == [False, True, False, False]
    breaker.failed(1)
    assert [breaker.may_call(at) for at in (2.5, 3.0)] == [False, True]
    breaker.succeeded()
    assert breaker.may_call(3)
    assert breaker.may_call(3)


@pytest.mark.faults
def test_without_redis_the_database_answers_at_once(private_servers: Callable[[], PrivateServers]) -> None:
    servers = private_servers()
    tiers = Tiers(shared=Shared(servers.redis_url))
    source = Source()
    asked = wanted(source, memory=0)
    tiers.get(asked), tiers.get(asked)
    assert tiers.hits == {"database": 1, "shared": 1}
    servers.pause_redis()  # the worst case: it takes the connection and never answers
    slowest = max(timed(lambda: tiers.get(asked)) for _ in range(50))
    assert slowest < 0.5
    assert source.loads == 51
    assert tiers.forget(keys=["k"]) is False
    servers.resume_redis()
    servers.kill_redis()
    assert max(timed(lambda: tiers.get(asked)) for _ in range(50)) < 0.5
    servers.restart_redis()
    until = time.monotonic() + 20
    while tiers.shared.breaker.is_open and time.monotonic() < until:
        tiers.get(asked)
        time.sleep(0.05)
    before = tiers.hits["shared"]
    tiers.get(asked), tiers.get(asked)
    assert tiers.hits["shared"] > before
    tiers.shared.close()


def timed(act: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


# --- what is kept -----------------------------------------------------------------------------------------------------
def test_rows_come_back_from_redis_exactly_as_they_were_stored(two: tuple[Tiers, Tiers]) -> None:
    here, there = two
    made = factories.make_instrument("BTC-USD", "61800.123456789012")
    factories.set_quote(made, "61800.123456789012", bid="61800.1", ask="61800.2")
    factories.make_instrument("ETH-USD", None, enabled=False)
    with cache.use(here):
        first = cache.instruments(), cache.quotes()
    with cache.use(there):
        again = cache.instruments(), cache.quotes()
    assert there.hits == {"shared": 2}
    assert first == again
    assert [row.symbol for row in again[0]] == ["BTC-USD", "ETH-USD"]
    assert again[1][0].price == Decimal("61800.123456789012")


def test_a_hit_asks_the_database_nothing(two: tuple[Tiers, Tiers]) -> None:
    factories.make_instrument()
    with cache.use(two[0]):
        cache.instruments()
        with CaptureQueriesContext(connection) as queries:
            cache.instruments()
    assert len(queries) == 0


def test_forgetting_waits_for_the_commit(two: tuple[Tiers, Tiers]) -> None:
    made = factories.make_instrument()
    with cache.use(two[0]):
        assert cache.instruments()[0].enabled
        with transaction.atomic():
            Instrument.objects.filter(pk=made.pk).update(enabled=False)
            cache.forget_after_commit(tags=(INSTRUMENTS,))
            two[1].memory.clear()
            assert read_elsewhere(two[1])[0].enabled
        assert not cache.instruments()[0].enabled


def read_elsewhere(tiers: Tiers) -> Any:
    """Read as another process would: on its own connection."""
    found: list[Any] = []

    def read() -> None:
        found.append(tiers.get(rows._INSTRUMENTS))
        connection.close()

    thread = threading.Thread(target=read)
    thread.start()
    thread.join(10)
    return found[0]
