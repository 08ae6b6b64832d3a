"""How fast the market store takes ticks in and gives candles out, beside a bare COPY of the same rows in the same run.

    DATABASE_URL=postgresql://user:password@host:port/name python benchmarks/market_store.py [--ticks N] [--candles N]

The database of the address is left alone: the run makes one of its own on that server and drops it. Up to five million
candles are inserted as they arrive, minute by minute through all instruments. More of them, `--candles 50000000`, are
laid down in the same order month by month, and each month's index is built after it: some minutes, about 10 GB.
`--ticks 0` leaves the loading of ticks out.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import psycopg2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from apps.domain.ticks import Tick
from apps.market import store
from apps.market.store import candles, connection, copying, partitions, tick_rows, ticks
from apps.market.store.ticks import TickRow
from apps.market.store.timeframes import Timeframe

START = datetime(2026, 1, 1, tzinfo=UTC)
INSTRUMENTS = 100
WINDOW = 1_000
T = TypeVar("T")
COPY = f"COPY market.ticks ({', '.join(TickRow._fields)}) FROM STDIN WITH (FORMAT csv, FORCE_NOT_NULL (side))"
FILL = """
    INSERT INTO market.candles (instrument_id, timeframe, at, open, high, low, close, volume, trades)
    SELECT one, '1m', at, 100.25, 100.75, 99.5, 100.5, 12.345, 42
    FROM generate_series(%s::timestamptz, %s::timestamptz, interval '1 minute') AS at, generate_series(1, %s) AS one
    ORDER BY at, one
"""


BULK_ABOVE = 5_000_000
FILL_MONTH = """
    BEGIN;
    SET LOCAL maintenance_work_mem = '1GB';
    CREATE TABLE market.{name} (LIKE market.{parent} INCLUDING ALL EXCLUDING INDEXES);
    INSERT INTO market.{name} (instrument_id, timeframe, at, open, high, low, close, volume, trades)
        SELECT one, '1m', at, 100.25, 100.75, 99.5, 100.5, 12.345, 42
        FROM generate_series('{since}'::timestamptz, '{last}'::timestamptz, interval '1 minute') AS at,
            generate_series(1, {instruments}) AS one;
    ALTER TABLE market.{name} ADD PRIMARY KEY (instrument_id, timeframe, at)
        INCLUDE (open, high, low, close, volume, trades);
    ALTER TABLE market.{parent} ATTACH PARTITION market.{name} FOR VALUES FROM ('{since}') TO ('{until}');
    COMMIT;
"""


def main() -> None:
    options = _options()
    with _database(options.url) as url:
        store.migrate(url)
        market = store.connect(url)
        figures: dict[str, dict[str, object]] = {}
        if options.ticks:
            figures = {"ticks": _load(market, options.ticks, options.rounds), "roll_up": _roll_up(market)}
        figures["candles"] = _windows(market, options.candles)
        market.close()
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        _show(figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default=os.environ.get("DATABASE_URL"), help="server to use (default: DATABASE_URL)")
    parser.add_argument("--ticks", type=int, default=1_000_000, help="prints to load (default: 1,000,000)")
    parser.add_argument("--rounds", type=int, default=3, help="loads of each kind, alternating (default: 3)")
    parser.add_argument("--candles", type=int, default=1_000_000, help="candles to read from (default: 1,000,000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if not options.url:
        parser.error("set DATABASE_URL or give --url")
    return options


@contextmanager
def _database(server: str) -> Iterator[str]:
    name = f"market_bench_{uuid.uuid4().hex[:12]}"
    _execute(server, f"CREATE DATABASE {name}")
    try:
        yield connection.driver_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _plain(url: str) -> str:
    return connection.driver_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _execute(url: str, statement: str, values: tuple[object, ...] = ()) -> list[tuple]:
    opened = psycopg2.connect(_plain(url))
    try:
        opened.autocommit = True
        with opened.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []
    finally:
        opened.close()


def _tape(number: int) -> list[Tick]:
    """Draw a seeded tape of two days: two digits behind the point, eight in the size, as a crypto venue prints."""
    draw = random.Random(7)
    step = timedelta(days=2) / number
    tape = []
    for index in range(number):
        price = f"{60_000 + draw.randrange(-500_000, 500_000) / 100:.2f}"
        at = (START + index * step).isoformat()
        received = int((START + index * step).timestamp() * 1e9)
        size, side = f"{draw.random():.8f}", draw.choice(("buy", "sell"))
        tape.append(Tick("X", float(price), price, index + 1, 0, size, side, price, price, at, received))
    return tape


def _load(market: store.Store, number: int, rounds: int) -> dict[str, object]:
    partitions.ensure(market, partitions.TICKS, START, START + timedelta(days=2))
    tape = _tape(number)
    build, rows = _timed(lambda: [ticks.from_tick(1 + index % INSTRUMENTS, tick) for index, tick in enumerate(tape)])
    text = copying.Pieces(rows, tick_rows.render)
    rendered = b"".join(iter(text.read, b""))
    bare, ours = [], []
    for _ in range(rounds):
        _execute(market.url, "TRUNCATE market.ticks; CHECKPOINT")
        bare.append(_timed(lambda: _bare_copy(market.url, rendered))[0])
        _execute(market.url, "TRUNCATE market.ticks; CHECKPOINT")
        ours.append(_timed(lambda: ticks.write(market, rows))[0])
    again, _ = _timed(lambda: ticks.write(market, rows[: number // 10]))
    bare_rate, our_rate = number / statistics.median(bare), number / statistics.median(ours)
    return {
        "rows": number,
        "bare_copy_rows_per_s": round(bare_rate),
        "store_rows_per_s": round(our_rate),
        "ratio": round(our_rate / bare_rate, 3),
        "duplicates_rows_per_s": round(number // 10 / again),
        "from_tick_rows_per_s": round(number / build),
    }


def _bare_copy(url: str, rendered: bytes) -> None:
    opened = psycopg2.connect(_plain(url))
    try:
        with opened, opened.cursor() as cursor:
            cursor.copy_expert(COPY, io.BytesIO(rendered), size=65_536)
    finally:
        opened.close()


def _roll_up(market: store.Store) -> dict[str, object]:
    _execute(market.url, "VACUUM ANALYZE market.ticks")
    everyone, until = range(1, INSTRUMENTS + 1), START + timedelta(days=2)
    partitions.ensure(market, partitions.CANDLES[Timeframe.MINUTE], START, until)
    first, made = _timed(lambda: candles.roll_up(market, everyone, Timeframe.MINUTE, START, until))
    again, changed = _timed(lambda: candles.roll_up(market, everyone, Timeframe.MINUTE, START, until))
    end = START + timedelta(hours=30)
    newest, _ = _timed(lambda: candles.roll_up(market, everyone, Timeframe.MINUTE, end - timedelta(minutes=2), end))
    return {
        "candles_1m": made,
        "first_s": round(first, 3),
        "again_s": round(again, 3),
        "again_changed": changed,
        "last_two_minutes_ms": round(newest * 1e3, 2),
    }


def _windows(market: store.Store, number: int) -> dict[str, object]:
    _execute(market.url, "TRUNCATE market.candles")
    minutes = max(number // INSTRUMENTS, WINDOW)
    end = START + timedelta(minutes=minutes)
    filling, _ = _timed(lambda: (_fill_months if number > BULK_ABOVE else _fill_days)(market, end))
    _execute(market.url, "VACUUM ANALYZE market.candles")
    draw = random.Random(11)
    first, newest, named, middle = [], [], [], []
    for one in draw.sample(range(1, INSTRUMENTS + 1), 40):
        until = START + timedelta(minutes=draw.randrange(WINDOW, minutes + 1))
        first.append(_timed(lambda one=one: _window(market, one, None))[0])
        newest.append(_timed(lambda one=one: _window(market, one, None))[0])
        named.append(_timed(lambda one=one: _window(market, one, end))[0])
        middle.append(_timed(lambda one=one, until=until: _window(market, one, until))[0])
    return {
        "rows": minutes * INSTRUMENTS,
        "filled_in_s": round(filling, 1),
        "window": WINDOW,
        "newest_first_touch_ms": _median_ms(first),
        "newest_ms": _median_ms(newest),
        "newest_until_now_ms": _median_ms(named),
        "anywhere_ms": _median_ms(middle),
        "plan": _plan(market, end),
    }


def _fill_days(market: store.Store, end: datetime) -> None:
    """Insert minute by minute through all instruments, as candles arrive."""
    partitions.ensure(market, partitions.CANDLES[Timeframe.MINUTE], START, end)
    since = START
    while since < end:
        until = min(since + timedelta(days=1), end)
        _execute(market.url, FILL, (since, until - timedelta(minutes=1), INSTRUMENTS))
        since = until


def _fill_months(market: store.Store, end: datetime) -> None:
    """Lay the same rows down in the same order, a month at a time, and build its index after it."""
    family = partitions.CANDLES[Timeframe.MINUTE]
    for present in partitions.existing(market, family):
        _execute(market.url, f"DROP TABLE market.{present.name}")
    part = family.child(family.step.floor(START))
    while part.since < end:
        last = min(part.until, end) - timedelta(minutes=1)
        span = {"since": part.since.isoformat(), "until": part.until.isoformat(), "last": last.isoformat()}
        took, _ = _timed(lambda part=part, span=span: _fill_month(market, family.table, part.name, span))
        print(f"{part.name}: {took:.0f} s", file=sys.stderr)
        part = family.child(part.until)


def _fill_month(market: store.Store, parent: str, name: str, span: dict[str, str]) -> None:
    _execute(market.url, FILL_MONTH.format(parent=parent, name=name, instruments=INSTRUMENTS, **span))


def _window(market: store.Store, one: int, until: datetime | None) -> None:
    found = candles.window(market, one, Timeframe.MINUTE, limit=WINDOW, until=until)
    if len(found) != WINDOW:
        raise SystemExit(f"instrument {one}: {len(found)} candles instead of {WINDOW}")


def _plan(market: store.Store, end: datetime) -> list[str]:
    """Show the plan of the newest window up to now, in a session that has planned it before, as a pooled one has."""
    since = end - 2 * WINDOW * Timeframe.MINUTE.width
    question = candles.window_query(INSTRUMENTS // 2, Timeframe.MINUTE, WINDOW, since, end)
    text = question.compile(market.engine, compile_kwargs={"literal_binds": True})
    with market.transaction() as connection:
        connection.exec_driver_sql(str(text))
        return [line for (line,) in connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS) {text}")]


def _median_ms(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1e3, 2)


def _timed(act: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = act()
    return time.perf_counter() - started, result


def _show(figures: dict[str, dict[str, object]]) -> None:
    for part, values in figures.items():
        print(part)
        for name, value in values.items():
            if name != "plan":
                print(f"  {name:<24}{value:>14,}")
    print("plan of the window")
    for line in figures["candles"]["plan"]:
        print(f"  {line}")


if __name__ == "__main__":
    main()
