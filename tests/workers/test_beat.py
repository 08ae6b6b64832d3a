"""One beat leads: two of them, stopped, woken and killed, ring once; django-celery-beat's own clock rings twice."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

from apps.journal import leases
from apps.journal.models import Lease, Pulse
from apps.ops import processes
from apps.ops.jobs.models import Job, JobRun
from apps.ops.jobs.ticking import ROLE, Deposed
from tests.workers.conftest import PREFIX, eventually, running
from tradingsite.celery import app
from workers.beat import Scheduler

pytestmark = pytest.mark.django_db(transaction=True)
QUEUE = f"{PREFIX}ops"
EXPIRES = 3600


@pytest.fixture
def every_second() -> PeriodicTask:
    interval = IntervalSchedule.objects.create(every=1, period="seconds")
    return PeriodicTask.objects.create(name="tick", task="ops.prune", interval=interval, expire_seconds=EXPIRES)


def rung(broker: "redis.Redis") -> list[datetime]:
    """Return when each message of the row was sent, oldest first."""
    found = [json.loads(message)["headers"] for message in broker.lrange(QUEUE, 0, -1)]
    expiries = [datetime.fromisoformat(each["expires"]) for each in found if each["task"] == "ops.prune"]
    return sorted(each - timedelta(seconds=EXPIRES) for each in expiries)


def holder() -> int:
    """Return the pid of the beat that leads."""
    return int(Lease.objects.get(name=ROLE).holder.rpartition(":")[2])


def tick_for(seconds: float, *schedulers: DatabaseScheduler) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for scheduler in schedulers:
            scheduler.tick()
        time.sleep(0.02)


@pytest.fixture
def ours() -> Iterator[tuple[Scheduler, Scheduler]]:
    pair = Scheduler(app), Scheduler(app)
    yield pair
    for scheduler in pair:
        scheduler.close()


def test_two_beats_ring_as_often_as_one(
    every_second: PeriodicTask, broker: "redis.Redis", ours: tuple[Scheduler, Scheduler]
) -> None:
    eventually(lambda: tick_for(0.1, *ours) or rung(broker), 20)
    eventually(lambda: tick_for(0.1, *ours) or len(rung(broker)) >= 3, 60)
    sent = rung(broker)
    gaps = [after - before for before, after in pairwise(sent)]
    assert min(gaps) > timedelta(seconds=0.5)
    every_second.refresh_from_db()
    assert every_second.total_run_count == len(sent), "what was rung is written at once"


def test_without_the_lease_two_beats_ring_twice(every_second: PeriodicTask, broker: "redis.Redis") -> None:
    """The negative control: the same row, django-celery-beat's own scheduler."""
    pair = DatabaseScheduler(app), DatabaseScheduler(app)
    eventually(lambda: tick_for(0.1, *pair) or len(rung(broker)) >= 4, 60)
    for scheduler in pair:
        scheduler.close()
    sent = rung(broker)
    gaps = [after - before for before, after in pairwise(sent)]
    assert min(gaps) < timedelta(seconds=0.5)


def test_a_beat_that_was_replaced_rings_nothing(
    every_second: PeriodicTask, broker: "redis.Redis", ours: tuple[Scheduler, Scheduler]
) -> None:
    """It woke between looking whether it leads and ringing: its old epoch stops it."""
    first, _ = ours
    eventually(lambda: tick_for(0.1, first) or rung(broker), 20)
    first._timekeeper.stop()
    eventually(lambda: leases.acquire(ROLE, hung_after=timedelta(hours=1)), 20)
    before = len(rung(broker))
    with pytest.raises(Deposed):
        first.reserve(first.schedule["tick"])
    first._timekeeper.epoch = first._led  # as it stood when the beat fell asleep
    tick_for(1.5, first)
    assert len(rung(broker)) == before
    leases.release(ROLE)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_beat_whose_timekeeper_has_a_bug_ends_instead_of_pretending_to_lead(
    ours: tuple[Scheduler, Scheduler],
) -> None:
    first, _ = ours
    first._timekeeper._every = "a moment"  # type: ignore[assignment] # stands for any bug
    with pytest.raises(SystemExit):
        eventually(lambda: first.tick() is None, 20)


@pytest.mark.faults
@pytest.mark.usefixtures("_migrated_store")
def test_the_standby_takes_over_and_no_slot_is_missed_or_doubled(
    every_second: PeriodicTask, database_url: str, broker: "redis.Redis", tmp_path: Path
) -> None:
    since = datetime.now(UTC)
    Job.objects.create(name="each second", task="ops.prune", rule="every 1s in session", missed="all")
    argv = next(child.argv[1:] for child in processes.children(settings, flower_password="x") if child.name == "beat")
    environment = {"DATABASE_URL": database_url, "CELERY_SKIP_CHECKS": "1"}
    with ExitStack() as stack:
        logs = [tmp_path / f"beat-{number}.log" for number in (1, 2)]
        beats = [stack.enter_context(running(*argv, environment=environment, log=log)) for log in logs]

        def explain() -> str:
            return "\n".join(log.read_text()[-1500:] for log in logs)

        eventually(lambda: JobRun.objects.exists() and Pulse.objects.filter(name=ROLE).count() == 2, 180, explain)
        first = holder()
        assert first in {beat.pid for beat in beats}
        os.kill(first, signal.SIGSTOP)
        eventually(lambda: holder() != first, 60, explain)
        second = holder()
        os.kill(first, signal.SIGCONT)
        _go_on(second, explain)
        os.kill(second, signal.SIGKILL)
        eventually(lambda: holder() == first, 60, explain)
        _go_on(first, explain)

    runs = list(JobRun.objects.order_by("pk"))
    slots = sorted(run.slot for run in runs)
    assert slots == [slots[0] + timedelta(seconds=count) for count in range(len(slots))], "each second, once"
    assert slots[0] >= since
    assert [run.epoch for run in runs] == sorted(run.epoch for run in runs), "no leader wrote after its successor"
    assert len({run.epoch for run in runs}) >= 3
    sent = rung(broker)
    gaps = [after - before for before, after in pairwise(sent)]
    assert min(gaps) > timedelta(seconds=0.5)


def _go_on(pid: int, explain: object) -> None:
    """Wait until the leader has written new slots, and is still the leader."""
    epoch = Lease.objects.get(name=ROLE).epoch
    eventually(lambda: JobRun.objects.filter(epoch=epoch).count() >= 2, 60, explain)
    assert holder() == pid
