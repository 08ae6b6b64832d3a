"""A real worker: it drains what the table holds, shows its pulse, and survives what lands in its queue."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psutil
import psycopg2
import pytest
import redis
from django.db import connection

from apps.access.models import User
from apps.domain.legs import ExitReason
from apps.domain.sides import Side
from apps.journal.models import Pulse
from apps.market.models import Instrument, Quote
from apps.trading.models import Drain, Position
from apps.trading.services import accounts, exits, positions
from tests.workers.conftest import PREFIX, eventually
from workers import bell, queues

StartWorker = Callable[..., "subprocess.Popen[bytes]"]
GARBAGE = (
    "not json",
    b"\xff\xfe\x00",
    "[]",
    "null",
    "{}",
    '{"properties": {}}',
    '{"properties": {"delivery_tag": "1", "delivery_info": {}, "body_encoding": "base64"}, "body": "a"}',
    '{"properties": {"delivery_tag": "1", "delivery_info": {}, "body_encoding": "rot13"}, "body": "a"}',
    '{"properties": {"delivery_tag": "2", "delivery_info": {}}, "headers": [1]}',
)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def leave(transactional_db: None) -> Callable[[], int]:
    """Open a position and ask for its exit without ringing; returns its id."""
    instrument = Instrument.objects.create(
        symbol="BTC-USD",
        base_currency="BTC",
        quote_currency="USD",
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.001"),
        min_quantity=Decimal("0.001"),
    )
    value = Decimal(100)
    far = now() + timedelta(minutes=5)
    Quote.objects.create(
        instrument=instrument, price=value, low=value, high=value, at=now(), received_at=far, heard_at=far
    )
    owner = User.objects.create_user("owner", password="long-enough-4-a-test")
    account = accounts.open_account(owner_id=owner.pk, name="paper", deposit=Decimal(100_000), now=now())

    def make() -> int:
        wish = positions.Opening(
            account_id=account.pk, instrument_id=instrument.pk, side=Side.LONG, quantity=Decimal(1)
        )
        position = positions.open_position(wish, now=now()).position
        exits.request_exit(position_id=position.pk, reason=ExitReason.MANUAL, source="test", now=now())
        return int(position.pk)

    return make


def closed(*position_ids: int) -> bool:
    return Position.objects.filter(pk__in=position_ids, status="closed").count() == len(position_ids)


def warmed_up() -> bool:
    """Say whether both children have had their first look at the table, which needs no ring."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tradingsite' "
            "AND datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle' AND query = 'COMMIT'"
        )
        return bool(cursor.fetchone()[0] >= 2)


def test_one_ring_drains_everything(start_worker: StartWorker, leave: Callable[[], int]) -> None:
    worker = start_worker()
    eventually(warmed_up)
    ids = [leave() for _ in range(5)]
    assert not closed(ids[0]), "nobody has rung yet"
    bell.ring()
    eventually(lambda: closed(*ids), 5)
    drain = Drain.objects.get()
    children = {child.pid for child in psutil.Process(worker.pid).children()}
    assert int(drain.worker.rpartition(":")[2]) in children


def test_a_worker_answers_the_bell_so_that_it_can_be_rung_again(
    start_worker: StartWorker, leave: Callable[[], int]
) -> None:
    start_worker()
    for _ in range(3):
        key = leave()
        bell.ring()
        # sooner than the bell forgets an unanswered ring
        eventually(lambda key=key: closed(key), bell.IN_FLIGHT_MS / 1000)


def test_a_worker_shows_its_pulse(start_worker: StartWorker) -> None:
    worker = start_worker()
    eventually(lambda: Pulse.objects.filter(name="worker:exits", pid=worker.pid).exists(), 5)
    pulse = Pulse.objects.get()
    assert pulse.facts["queues"] == ["exits"]
    assert (pulse.facts["pool"], pulse.facts["concurrency"]) == ("prefork", 2)
    eventually(lambda: Pulse.objects.get().beat_at > pulse.beat_at, 5)


def test_garbage_in_the_queue_is_set_aside_and_the_worker_lives(
    start_worker: StartWorker, leave: Callable[[], int], broker: "redis.Redis"
) -> None:
    worker = start_worker()
    for entry in GARBAGE:
        broker.lpush(f"{PREFIX}exits", entry)
    key = leave()
    bell.ring()
    eventually(lambda: closed(key), 5)
    eventually(lambda: broker.llen(f"{PREFIX}quarantine") == len(GARBAGE), 5)
    assert worker.poll() is None
    assert b"not json" in broker.lrange(f"{PREFIX}quarantine", 0, -1)


def test_a_pickle_an_unknown_task_and_unknown_arguments_do_not_end_a_worker(
    start_worker: StartWorker, leave: Callable[[], int], broker: "redis.Redis"
) -> None:
    worker = start_worker()
    app = bell._publisher()
    with app.connection_for_write() as connection:
        producer = app.amqp.Producer(connection.channel(), auto_declare=False)
        app.send_task("trading.no_such_task", producer=producer, queue="exits")
        app.send_task(queues.DRAIN_EXITS, args=[1, 2], producer=producer)
        app.send_task(queues.DRAIN_EXITS, kwargs={"shard": 3}, producer=producer)
        producer.publish(b"\x80\x04N.", content_type="application/x-python-serialize", routing_key="exits")
    key = leave()
    bell.ring()
    eventually(lambda: closed(key), 5)
    assert worker.poll() is None


def test_a_killed_child_is_replaced_and_its_work_done(start_worker: StartWorker, leave: Callable[[], int]) -> None:
    worker = start_worker()
    for child in psutil.Process(worker.pid).children():
        os.kill(child.pid, signal.SIGKILL)
    key = leave()
    bell.ring()
    eventually(lambda: closed(key), 10)


def test_dead_database_connections_are_noticed(
    start_worker: StartWorker, leave: Callable[[], int], database_url: str
) -> None:
    """Reusing connections without this kept a dead one for ever."""
    worker = start_worker()
    first = leave()
    bell.ring()
    eventually(lambda: closed(first), 5)
    with psycopg2.connect(database_url) as raw, raw.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name = 'tradingsite' AND datname = current_database() "
            "AND pid NOT IN (pg_backend_pid(), %s)",
            [own_backend()],
        )
        assert cursor.fetchone()[0] >= 2, "two children and the pulse hold connections"
    raw.close()
    second = leave()
    bell.ring()
    eventually(lambda: closed(second), bell.IN_FLIGHT_MS / 1000)
    assert worker.poll() is None


def own_backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def test_an_idle_worker_ends_within_seconds(start_worker: StartWorker) -> None:
    worker = start_worker()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(7) == 0


def test_the_other_queues_have_a_worker_of_their_own(start_worker: StartWorker, broker: "redis.Redis") -> None:
    worker = start_worker("worker")
    eventually(lambda: Pulse.objects.filter(pid=worker.pid).exists(), 5)
    assert set(Pulse.objects.get().facts["queues"]) == {"market", "strategies", "ops"}
    app = bell._publisher()
    before = now()
    Pulse.objects.create(
        name="web", host="gone", pid=1, started_at=before, beat_at=before - timedelta(days=2), facts={}
    )
    app.send_task("ops.prune")
    eventually(lambda: not Pulse.objects.filter(host="gone").exists(), 5)


def test_a_message_is_plain_json(broker: "redis.Redis") -> None:
    bell.ring()
    message = json.loads(broker.lindex(f"{PREFIX}exits", 0))
    assert message["content-type"] == "application/json"
    assert message["headers"]["task"] == queues.DRAIN_EXITS
