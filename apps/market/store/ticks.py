"""How trade prints get in, each at most once, and how they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from psycopg2 import sql
from sqlalchemy import Connection, Select, func, select, tuple_

from apps.market.store import copying, partitions, schema, tick_rows
from apps.market.store.connection import Store, driver
from apps.market.store.errors import StoreBusy
from apps.market.store.tick_rows import TickRow, from_tick

__all__ = ["Extremes", "TickRow", "after", "between", "count", "extremes", "from_tick", "write", "write_whole"]

BATCH = 50_000  # rows per transaction


class Extremes(NamedTuple):
    """The lowest and the highest price of a span, None where nothing traded, and the number of prints."""

    low: Decimal | None
    high: Decimal | None
    prints: int


TABLE = (schema.NAME, schema.TICKS.name)
COLUMNS = tuple(schema.TICKS.c[name] for name in TickRow._fields)
KEY = (schema.TICKS.c.instrument_id, schema.TICKS.c.at, schema.TICKS.c.trade_id)

INSERT_STAGED = sql.SQL(
    "INSERT INTO {table} ({columns}) SELECT {columns} FROM {staged} ORDER BY at, instrument_id, trade_id"
    " ON CONFLICT (instrument_id, at, trade_id) DO NOTHING"
)


def write(store: Store, rows: Sequence[TickRow]) -> int:
    """Store prints that are not there yet and return how many were new; safe to repeat, also at the same time.

    Batches commit one by one. RefusedRows names the rule when a batch holds a bad row, StoreUnavailable asks for a
    repeat; either way the batches before it are stored.
    """
    return sum(_write_batch(store, batch) for batch in _batches(rows))


def write_whole(store: Store, rows: Sequence[TickRow]) -> int:
    """Store prints that are not there yet in one transaction, all or none, and return how many were new.

    For what has an end, such as a file. Raises RefusedRows and StoreUnavailable.
    """
    with store.transaction() as connection:
        return _load_missing(connection, tick_rows.ready(rows))


def between(
    store: Store, instrument_id: int, since: datetime, until: datetime, *, limit: int | None = None
) -> list[TickRow]:
    """Return the prints of [since, until), oldest first, at most `limit`."""
    return _fetch(store, _span(select(*COLUMNS), instrument_id, since, until).limit(limit))


def after(
    store: Store, instrument_id: int, at: datetime, trade_id: int, *, until: datetime | None = None, limit: int = 1_000
) -> list[TickRow]:
    """Return the next prints behind the one at this place, oldest first: the way to page through any number."""
    ticks = schema.TICKS.c
    # The plain comparison repeats a part of the pair's, because only it lets the planner skip older days.
    query = select(*COLUMNS).where(
        ticks.instrument_id == instrument_id, ticks.at >= at, tuple_(ticks.at, ticks.trade_id) > tuple_(at, trade_id)
    )
    if until is not None:
        query = query.where(ticks.at < until)
    return _fetch(store, query.limit(limit))


def extremes(store: Store, instrument_id: int, since: datetime, until: datetime) -> Extremes:
    """Return lowest price, highest price and number of prints in [since, until)."""
    price = schema.TICKS.c.price
    query = select(func.min(price), func.max(price), func.count())
    with store.transaction() as connection:
        return Extremes._make(connection.execute(_span(query, instrument_id, since, until)).one())


def count(store: Store, instrument_id: int, since: datetime, until: datetime) -> int:
    """Count the prints in [since, until)."""
    return extremes(store, instrument_id, since, until).prints


def _span(
    query: Select[*tuple[object, ...]], instrument_id: int, since: datetime, until: datetime
) -> Select[*tuple[object, ...]]:
    ticks = schema.TICKS.c
    return query.where(ticks.instrument_id == instrument_id, ticks.at >= since, ticks.at < until)


def _fetch(store: Store, query: Select[*tuple[object, ...]]) -> list[TickRow]:
    ordered = query.order_by(schema.TICKS.c.at, schema.TICKS.c.trade_id)
    with store.transaction() as connection:
        return [TickRow._make(row) for row in connection.execute(ordered)]


def _write_batch(store: Store, rows: list[TickRow]) -> int:
    # Refilled prints overlap with what is there; others nearly never do, and a bare COPY is much the faster way.
    first = _load_missing if any(row.refilled for row in rows) else _load_all
    for load in (first, _load_missing):
        with suppress(StoreBusy), store.transaction() as connection:
            return load(connection, rows)
    with store.transaction() as connection:
        return _load_missing(connection, rows)


def _load_all(connection: Connection, rows: list[TickRow]) -> int:
    partitions.hold(connection, partitions.TICKS)
    return copying.copy(connection, TABLE, TickRow._fields, rows, texts=("side",), render=tick_rows.render)


def _load_missing(connection: Connection, rows: list[TickRow]) -> int:
    staged = copying.stage(connection, schema.TICKS, "ticks_staged")
    copying.copy(connection, staged, TickRow._fields, rows, texts=("side",), render=tick_rows.render)
    partitions.hold(connection, partitions.TICKS)
    columns = copying.names(TickRow._fields)
    statement = INSERT_STAGED.format(table=sql.Identifier(*TABLE), staged=sql.Identifier(*staged), columns=columns)
    with driver(connection) as cursor:
        cursor.execute(statement)
        return int(cursor.rowcount)


def _batches(rows: Sequence[TickRow]) -> Iterator[list[TickRow]]:
    for start in range(0, len(rows), BATCH):
        yield tick_rows.ready(rows[start : start + BATCH])
