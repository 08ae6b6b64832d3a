"""How many rows get into a table fast: COPY, rendered in pieces while the server is still busy with the last one."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Generic, TypeVar

from psycopg2 import sql
from sqlalchemy import Connection, Table

from apps.market.store import schema
from apps.market.store.connection import driver

Row = TypeVar("Row", bound=Sequence[object])
ROWS_PER_PIECE = 1_000  # about 100 KB: large enough to amortise a call, small enough to overlap with the server


class Pieces(io.BufferedIOBase, Generic[Row]):
    """Rows as CSV in UTF-8, rendered piece by piece as the driver reads on."""

    def __init__(self, rows: Iterable[Row], render: Callable[[Sequence[Row]], str]) -> None:
        super().__init__()
        self._rows = iter(rows)
        self._render = render

    def read(self, _size: int | None = -1, /) -> bytes:
        """Return the next piece, empty at the end; the driver takes more than it asked for."""
        # What is no Unicode text is left to the server to refuse: an error here would look like a lost connection.
        return self._render(list(islice(self._rows, ROWS_PER_PIECE))).encode(errors="surrogatepass")


def quoted(rows: Iterable[Sequence[object]]) -> str:
    """Write rows as CSV; None becomes NULL, and quotes keep any text inside its own field."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def copy(
    connection: Connection,
    table: tuple[str, ...],
    columns: Sequence[str],
    rows: Iterable[Row],
    *,
    texts: Sequence[str] = (),
    render: Callable[[Sequence[Row]], str] = quoted,
) -> int:
    """COPY rows in the order of `columns` and return how many; an empty field is NULL except in the columns `texts`."""
    forced = sql.SQL(", FORCE_NOT_NULL ({})").format(names(texts)) if texts else sql.SQL("")
    statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv{})").format(
        sql.Identifier(*table), names(columns), forced
    )
    with driver(connection) as cursor:
        cursor.copy_expert(statement, Pieces(rows, render))
        return int(cursor.rowcount)


def stage(connection: Connection, like: Table, name: str) -> tuple[str, ...]:
    """Make a private table of the same columns that vanishes with the transaction, and return its address."""
    statement = sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {}) ON COMMIT DROP").format(
        sql.Identifier(name), sql.Identifier(schema.NAME, like.name)
    )
    with driver(connection) as cursor:
        cursor.execute(statement)
    return ("pg_temp", name)


def names(columns: Sequence[str]) -> sql.Composed:
    """Quote column names for a list in SQL."""
    return sql.SQL(", ").join(map(sql.Identifier, columns))
