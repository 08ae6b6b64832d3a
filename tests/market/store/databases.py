"""Databases of their own for tests of the store, and rows to put into them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg2
from psycopg2 import sql
from sqlalchemy import make_url

from apps.market.store.ticks import TickRow

DAY = datetime(2026, 3, 10, tzinfo=UTC)


@contextmanager
def database(template: str = "template1") -> Iterator[str]:
    """Make a database, yield its address, drop it."""
    server = os.environ["DATABASE_URL"]
    name = f"market_test_{uuid.uuid4().hex[:12]}"
    _run(server, "CREATE DATABASE {} TEMPLATE {}", name, template)
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        _run(server, "DROP DATABASE {} WITH (FORCE)", name)


def _run(server: str, statement: str, *names: str) -> None:
    connection = psycopg2.connect(server)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
    finally:
        connection.close()


def query(url: str, statement: str) -> list[tuple]:
    """Ask the database without any of our code."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def print_at(at: datetime, trade_id: int, price: str = "100.5", **changes: object) -> TickRow:
    """Build one print of instrument 1."""
    row = TickRow(1, at, trade_id, at, price, "0.25", "buy", "100.4", "100.6", refilled=False)
    return row._replace(**changes)
