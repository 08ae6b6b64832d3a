"""Which spans of time have a table of their own: made ahead, dropped when too old, strays counted.

A row whose time has no partition goes to the family's `_strays` table: it is kept, found by every query, reported by
`strays`, and moved to its place as soon as its span gets a partition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from psycopg2 import sql
from sqlalchemy import Connection, bindparam, text

from apps.market.store import schema
from apps.market.store.connection import Store, driver
from apps.market.store.timeframes import Timeframe

LIMIT = 4_000  # partitions one call may make: about eleven years of days
STRAYS = "_strays"
PATIENCE = text("SET LOCAL lock_timeout = '2s'")  # a query that holds a partition must not stall every writer behind us
ALONE = text("SELECT pg_advisory_xact_lock(7170934, hashtext(:table))")
TOGETHER = text("SELECT pg_advisory_xact_lock_shared(7170934, hashtext(:table))")
CHILDREN = text(
    "SELECT p.relname, c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace n ON n.oid = p.relnamespace"
    " WHERE n.nspname = :schema AND p.relname IN :tables ORDER BY c.relname"
).bindparams(bindparam("tables", expanding=True))


class Step(StrEnum):
    """How much time one partition holds; the value is the form of the label in its name."""

    DAY = "%Y%m%d"
    MONTH = "%Y%m"
    YEAR = "%Y"

    def floor(self, at: datetime) -> datetime:
        """Return the start of the span that holds this instant."""
        midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self is Step.DAY:
            return midnight
        return midnight.replace(day=1) if self is Step.MONTH else midnight.replace(month=1, day=1)

    def following(self, start: datetime) -> datetime:
        """Return the start of the next span."""
        if self is Step.DAY:
            return start + timedelta(days=1)
        longer = timedelta(days=31 if self is Step.MONTH else 366)
        return self.floor(start + longer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One table and how it is cut."""

    table: str
    step: Step

    @property
    def strays(self) -> str:
        """The table of rows that have no partition."""
        return f"{self.table}{STRAYS}"

    def child(self, start: datetime) -> Partition:
        """Name the partition that starts here."""
        name = f"{self.table}_{start.strftime(self.step.value)}"
        return Partition(name=name, since=start, until=self.step.following(start))

    def read(self, name: str) -> Partition | None:
        """Read a partition's span off its name; None for the strays and for tables that are not ours."""
        label = re.fullmatch(rf"{re.escape(self.table)}_(\d+)", name)
        if label is None:
            return None
        return self.child(datetime.strptime(label[1], self.step.value).replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One span of one family: the rows of [since, until)."""

    name: str
    since: datetime
    until: datetime


# Fine candles fill a month with millions of rows; coarse ones would leave months nearly empty.
STEPS = {Timeframe.SECOND: Step.MONTH, Timeframe.MINUTE: Step.MONTH}
TICKS = Family(table=schema.TICKS.name, step=Step.DAY)
CANDLES = {
    timeframe: Family(table=f"{schema.CANDLES.name}_{timeframe}", step=STEPS.get(timeframe, Step.YEAR))
    for timeframe in Timeframe
}
FAMILIES = {family.table: family for family in (TICKS, *CANDLES.values())}


def ahead(store: Store, now: datetime, *, days: int = 3) -> list[str]:
    """Make the partitions from yesterday to `days` from now in every family, and return the names of the new ones."""
    since, until = now - timedelta(days=1), now + timedelta(days=days)
    return [name for family in FAMILIES.values() for name in ensure(store, family, since, until)]


def ensure(store: Store, family: Family, since: datetime, until: datetime) -> list[str]:
    """Make the missing partitions of [since, until), as for a backfill, and return their names.

    Safe to repeat and to run at once in many processes. ValueError when the span would need more than `LIMIT`,
    StoreBusy when a long query holds the tables: what was made stays made, ask again.
    """
    wanted = list(_spans(family, since, until))
    present = {partition.name for partition in existing(store, family)}
    return [part.name for part in wanted if part.name not in present and _make(store, family, part)]


def existing(store: Store, family: Family) -> list[Partition]:
    """List a family's partitions, oldest first, without the strays."""
    with store.transaction() as connection:
        return _existing(connection, family)


def drop_older(store: Store, keep: Mapping[str, timedelta], now: datetime) -> list[str]:
    """Drop what ended longer ago than its family keeps, strays included, and return the names of the dropped tables.

    `keep` names families as in `FAMILIES` ("ticks", "candles_1m"); those it leaves out are kept for ever. ValueError
    for an unknown family or a negative age.
    """
    for table, age in keep.items():
        if table not in FAMILIES or age < timedelta(0):
            raise ValueError(f"retention of {table!r}: {age}; known families are {', '.join(FAMILIES)}")
    return [name for table, age in keep.items() for name in _drop(store, FAMILIES[table], now - age)]


def strays(store: Store) -> dict[str, int]:
    """Count the rows outside every partition, by family; a healthy store answers with an empty dictionary."""
    with store.transaction() as connection, driver(connection) as cursor:
        counts = {}
        for family in FAMILIES.values():
            cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(_address(family.strays)))
            counts[family.table] = int(cursor.fetchall()[0][0])
    return {table: number for table, number in counts.items() if number}


def hold(connection: Connection, family: Family) -> None:
    """Keep a family's partitions as they are until the transaction ends; every writer of its rows asks for this.

    Without it a row that is on its way to the strays fails when its span gets a partition at that moment.
    """
    connection.execute(TOGETHER, {"table": family.table})


def _spans(family: Family, since: datetime, until: datetime) -> Iterator[Partition]:
    start = family.step.floor(since)
    for _ in range(LIMIT):
        if start >= until:
            return
        partition = family.child(start)
        yield partition
        start = partition.until
    raise ValueError(f"{family.table}: {since} to {until} needs more than {LIMIT} partitions; ask for a shorter span")


def _existing(connection: Connection, family: Family) -> list[Partition]:
    rows = connection.execute(CHILDREN, {"schema": schema.NAME, "tables": [family.table]})
    return [partition for _, name in rows if (partition := family.read(name))]


def _make(store: Store, family: Family, partition: Partition) -> bool:
    with store.transaction() as connection:
        connection.execute(PATIENCE)
        connection.execute(ALONE, {"table": family.table})
        if partition in _existing(connection, family):
            return False
        attach(connection, family, partition)
    return True


def attach(connection: Connection, family: Family, partition: Partition) -> None:
    """Add a partition beside running writers: attaching locks only the strays, creating in place the whole family.

    Parent before strays is the order in which an INSERT locks them. The strays stay locked from the move to the
    commit: a row that slipped in between would make the attachment fail.
    """
    parent, child, default = _address(family.table), _address(partition.name), _address(family.strays)
    since, until = (sql.Literal(at.isoformat()) for at in (partition.since, partition.until))
    parts = {"parent": parent, "child": child, "strays": default, "since": since, "until": until}
    with driver(connection) as cursor:
        for statement in ATTACH:
            cursor.execute(sql.SQL(statement).format(**parts))


ATTACH = (
    "LOCK TABLE ONLY {parent} IN SHARE UPDATE EXCLUSIVE MODE",
    "LOCK TABLE ONLY {strays} IN ACCESS EXCLUSIVE MODE",
    "CREATE TABLE {child} (LIKE {parent} INCLUDING ALL)",
    """WITH moved AS (DELETE FROM {strays} WHERE at >= {since} AND at < {until} RETURNING *)
       INSERT INTO {child} SELECT * FROM moved""",
    "ALTER TABLE {parent} ATTACH PARTITION {child} FOR VALUES FROM ({since}) TO ({until})",
)


def _drop(store: Store, family: Family, oldest: datetime) -> list[str]:
    with store.transaction() as connection, driver(connection) as cursor:
        cursor.execute(sql.SQL("DELETE FROM {} WHERE at < %s").format(_address(family.strays)), [oldest])
    old = [partition for partition in existing(store, family) if partition.until <= oldest]
    return [partition.name for partition in old if _drop_one(store, family, partition)]


def _drop_one(store: Store, family: Family, partition: Partition) -> bool:
    with store.transaction() as connection:
        connection.execute(PATIENCE)
        connection.execute(ALONE, {"table": family.table})
        if partition not in _existing(connection, family):
            return False
        with driver(connection) as cursor:
            cursor.execute(sql.SQL("DROP TABLE {}").format(_address(partition.name)))
    return True


def _address(table: str) -> sql.Identifier:
    return sql.Identifier(schema.NAME, table)
