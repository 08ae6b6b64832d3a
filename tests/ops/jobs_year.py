"""A year of the timetable with a beat that is killed again and again, and a worker beside it: processes and rows.

The beat's clock is the rows: each life goes on from the next slot, after an outage of seconds or days.
JOBS_YEAR_KILLS=1000 makes the test longer.
"""

import os
import random
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.db import connection
from django.db.models import Min

from apps.ops.jobs import running, tending, ticking
from apps.ops.jobs.models import Job
from tests.ops import jobs_world

OUTAGES = (timedelta(0), timedelta(seconds=2), timedelta(hours=5), timedelta(days=3))
LATE = datetime(2030, 1, 1, tzinfo=UTC)  # the worker's clock: whatever waits is due


@contextmanager
def forked(work: Callable[[Callable[[], None]], None]) -> Iterator[tuple[int, int]]:
    """Run `work` in a child of its own connection; yield its pid and the end of a pipe that it writes to."""
    connection.close()  # the child must not talk on its parent's
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(work, reading, writing)
    os.close(writing)
    try:
        yield pid, reading
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)


def _child(work: Callable[[Callable[[], None]], None], reading: int, writing: int) -> None:
    os.close(reading)
    try:
        work(lambda: os.write(writing, b".") and None)
        os.write(writing, b"E")
        signal.pause()  # its parent ends it
    except BaseException:  # noqa: BLE001 - a child must never return into pytest
        traceback.print_exc()
    finally:
        os._exit(1)


def beat(seed: int, outage: timedelta) -> Callable[[Callable[[], None]], None]:
    """Return one life of a beat: lead, then tick from slot to slot until the year is over."""

    def live(done: Callable[[], None]) -> None:
        chance = random.Random(seed)
        epoch = jobs_world.lead()
        now = _next(jobs_world.SINCE) + outage
        while now < jobs_world.UNTIL:
            ticking.tick(now, epoch=epoch)
            done()
            now = _next(now) + timedelta(seconds=chance.uniform(0, 0.5))
        ticking.tick(jobs_world.UNTIL - timedelta.resolution, epoch=epoch)

    return live


def _next(now: datetime) -> datetime:
    found: datetime | None = Job.objects.filter(enabled=True).aggregate(first=Min("next_at"))["first"]
    return max(found or now, now)


def worker(effects: Path) -> Callable[[Callable[[], None]], None]:
    """Return a worker: it takes what waits and writes a line for each run, until it is ended."""

    def work(_done: Callable[[], None]) -> None:
        file = os.open(effects, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        while True:
            for call in tending.to_call(LATE):
                claimed = running.claim(call.run_id, worker="test", now=LATE, limit=lambda _: timedelta(days=9))
                if claimed is not None:
                    with running.Settling(claimed, lambda: LATE) as mine:
                        os.write(file, f"{mine.job}\t{mine.slot.isoformat()}\n".encode())
            time.sleep(0.02)  # others need the machine as well

    return work


def live_through(kills: int, ticks: int, chance: random.Random) -> int:
    """Let beats live through the year, killing each after some ticks at any moment; return how many were killed."""
    killed = 0
    while True:
        outage = chance.choice(OUTAGES) if killed else timedelta(0)
        with forked(beat(chance.randrange(2**32), outage)) as (_, reading):
            quota = chance.randint(0, max(2 * ticks // kills - 1, 1)) if killed < kills else 10**9
            if not _lives(reading, quota):
                return killed
            _moment(chance)
        killed += 1


def _lives(reading: int, quota: int) -> bool:
    """Read a beat's signs until it has done its quota; False when its year is over."""
    while quota > 0:
        signs = os.read(reading, min(quota, 4096))
        assert signs, "the beat failed by itself"
        if signs.endswith(b"E"):
            return False
        quota -= len(signs)
    return True


def _moment(chance: random.Random) -> None:
    time.sleep(chance.uniform(0, 0.012))  # so that it dies in the middle of whatever it does next
