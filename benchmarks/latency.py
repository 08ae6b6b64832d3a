"""From a tick's arrival to the commit of the exits it triggers, through real processes."""

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import chain, empty, filling, stage
from benchmarks.figures import Goal, Table, median, quantile
from benchmarks.venue import Venue

INSTRUMENTS = 50
CENTS = 100_000
_TIMES = """
SELECT extract(epoch FROM d.committed_at - e.tick_at)::float8 * 1e3,
    extract(epoch FROM e.recorded_at - e.tick_at)::float8 * 1e3,
    extract(epoch FROM d.claimed_at - e.recorded_at)::float8 * 1e3,
    extract(epoch FROM d.committed_at - d.claimed_at)::float8 * 1e3
FROM trading_exit e JOIN trading_drain d ON d.id = e.drain_id WHERE e.id > %s ORDER BY e.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Ticks and exits per second; in clumps means at random instead of evenly."""

    ticks: int
    exits: int
    in_clumps: bool = False

    @property
    def words(self) -> str:
        """Name the load."""
        return f"{self.ticks:,} ticks/s, {self.exits} exits/s{' in random clumps' if self.in_clumps else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    loads: tuple[Load, ...]
    rounds: int
    seconds: float
    far: int


EVEN = (Load(ticks=200, exits=200), Load(ticks=2_000, exits=200))
QUICK = Size(loads=EVEN, rounds=1, seconds=1.5, far=1_000)
FULL = Size(loads=(*EVEN, Load(ticks=2_000, exits=200, in_clumps=True)), rounds=5, seconds=4.0, far=10_000)


def run(size: Size, folder: Path) -> Table:
    """Play every load several times and compare with what one task and one commit cost in between."""
    per_load = [int(load.exits * size.seconds) for load in size.loads]
    total = sum(per_load) * size.rounds
    account = filling.site(INSTRUMENTS)
    filling.positions(account, size.far, instruments=INSTRUMENTS, stop=filling.FAR_STOP, target=filling.FAR_TARGET)
    filling.positions(account, total, instruments=INSTRUMENTS, stop=filling.NEAR_STOP, target=filling.FAR_TARGET)
    filling.books()
    found: dict[Load, list[dict[str, float]]] = {load: [] for load in size.loads}
    with chain.running(folder, range(1, INSTRUMENTS + 1)) as source:
        market = _Market()
        for _ in range(size.rounds):
            for load, exits in zip(size.loads, per_load, strict=True):
                found[load].append(_round(source, market, load, exits, size))
    table = _table(found, size)
    table.goals.append(
        Goal(text="rows that break an invariant afterwards", value=chain.broken(), limit=0, at_most=True)
    )
    return table


def _table(found: dict[Load, list[dict[str, float]]], size: Size) -> Table:
    table = Table(
        title=f"Tick to commit, {size.far:,} positions stay open all along, medians of {size.rounds} rounds",
        columns=("load", "p50 ms", "p99 ms", "p50 / (task + commit)", "row ms", "claim ms", "booking ms"),
    )
    every = [one for rounds in found.values() for one in rounds]
    task, commit = median(one["task"] for one in every), median(one["commit"] for one in every)
    for load, rounds in found.items():
        middle = {key: median(one[key] for one in rounds) for key in ("p50", "p99", "row", "claim", "booking")}
        ratio = middle["p50"] / (task + commit)
        stages = (middle["row"], middle["claim"], middle["booking"])
        table.rows.append((load.words, middle["p50"], middle["p99"], ratio, *stages))
        text = f"p50 / (empty task + commit), {load.words}"
        table.goals.append(Goal(text=text, value=ratio, limit=3.0, at_most=True))
    table.notes += [
        f"an empty task {task:.2f} ms from sending to start, one commit {commit:.2f} ms: medians of {len(every)} turns",
        "p50 and p99 from the arrival of the tick's frame to the instant after the commit, by one clock",
        "row: until its exit is being written; claim: until a worker has locked it; booking: until committed",
        "for orientation, on an otherwise idle machine: p50 5 ms, p99 15 ms at 2,000 ticks/s, 200 exits/s",
    ]
    return table


class _Market:
    """Where every market stands, so that a tick crosses exactly one more level when it shall."""

    def __init__(self) -> None:
        self.floors = [CENTS] * (INSTRUMENTS + 1)
        self.fired = 0
        self.draw = random.Random(5)

    def ticks(self, load: Load, exits: int, seconds: float) -> list[tuple[str, str]]:
        """Return the ticks of one round with the given number of crossings among them."""
        count = int(load.ticks * seconds)
        crossing = self.draw.sample(range(count), exits) if load.in_clumps else range(0, count, count // exits)
        return [self._tick(crosses) for crosses in map(set(crossing).__contains__, range(count))]

    def _tick(self, crosses: bool) -> tuple[str, str]:
        number = self.fired % INSTRUMENTS + 1 if crosses else self.draw.randint(1, INSTRUMENTS)
        self.fired += crosses
        self.floors[number] -= crosses
        cents = self.floors[number] + (0 if crosses else self.draw.randrange(6))
        return filling.symbol(number), f"{cents / 100:.2f}"


def _round(source: Venue, market: _Market, load: Load, exits: int, size: Size) -> dict[str, float]:
    task, commit = median(_empty_tasks(load.exits, size)), median(_commits(size))
    before = stage.rows("SELECT coalesce(max(id), 0), count(*) FROM trading_exit")[0]
    source.play(market.ticks(load, exits, size.seconds), load.ticks)
    chain.crossed(before[1] + exits, 10)
    # What starts cold says nothing about what follows.
    rows = stage.rows(_TIMES, [before[0]])[exits // 10 :]
    total, row, claim, booking = ([float(item[column]) for item in rows] for column in range(4))
    return {
        "p50": median(total),
        "p99": quantile(total, 0.99),
        "task": task,
        "commit": commit,
        "row": median(row),
        "claim": median(claim),
        "booking": median(booking),
    }


def _empty_tasks(rate: int, size: Size) -> list[float]:
    """Return the milliseconds from sending an empty task to its start in the same worker, at the pace of the exits."""
    from django.conf import settings
    from redis import Redis

    from tradingsite.celery import app

    count = int(rate * size.seconds / 4)
    with Redis.from_url(settings.REDIS_URL) as client, app.producer_pool.acquire(block=True) as producer:
        client.delete(empty.STARTED)
        began = time.perf_counter()
        for number in range(count):
            time.sleep(max(began + number / rate - time.perf_counter(), 0))
            sent = [time.time_ns()]
            app.send_task(empty.NAME, args=sent, queue="exits", producer=producer, retry=False, ignore_result=True)
        stage.until(lambda: client.llen(empty.STARTED) >= count, 30, "empty tasks")
        found: list[Any] = client.lrange(empty.STARTED, 0, -1)
        return [int(took) / 1e6 for took in found]


def _commits(size: Size) -> list[float]:
    """Return the milliseconds of inserting and committing one row."""
    from django.db import connection

    found = []
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS bench_commit (id bigserial PRIMARY KEY, at timestamptz)")
        for _ in range(int(size.seconds * 25)):
            began = time.perf_counter()
            cursor.execute("INSERT INTO bench_commit (at) VALUES (clock_timestamp())")
            found.append((time.perf_counter() - began) * 1e3)
            time.sleep(0.005)
    return found
