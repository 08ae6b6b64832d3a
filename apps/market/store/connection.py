"""How a process reaches the store: one pool of connections, made on first use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import psycopg2
from psycopg2 import extensions
from sqlalchemy import URL, Connection, Engine, Pool, QueuePool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from apps.market.store import errors

POSTGRESQL = frozenset({"postgres", "postgresql", "psql", "pgsql"})


def driver_url(url: str) -> URL:
    """Turn any usual spelling of a PostgreSQL address into the one SQLAlchemy takes; ValueError for anything else."""
    try:
        parsed = make_url(url)
    except ArgumentError:  # its own text would show the address, password and all
        raise ValueError("market store: not an address; wanted postgresql://user:password@host:port/name") from None
    if parsed.drivername.partition("+")[0] not in POSTGRESQL:
        raise ValueError(f"market store: PostgreSQL is needed, not {parsed.drivername!r}")
    return parsed.set(drivername="postgresql+psycopg2")


def new_engine(url: str, poolclass: type[Pool] = QueuePool) -> Engine:
    """Make an engine that speaks UTC, notices a dead connection before use and gives up connecting after 5 s."""
    address = driver_url(url)
    options = " ".join(filter(None, [str(address.query.get("options", "")), "-c timezone=UTC"]))
    arguments = {"options": options, "application_name": "market-store", "connect_timeout": 5, "keepalives_idle": 30}
    return create_engine(address, poolclass=poolclass, pool_pre_ping=True, connect_args=arguments)


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the driver and SQLAlchemy say in the store's own words."""
    try:
        yield
    except (psycopg2.Error, DBAPIError) as error:
        ours = errors.translate(error.orig if isinstance(error, DBAPIError) else error)
        if ours is None:
            raise
        raise ours from error


def driver(connection: Connection) -> extensions.cursor:
    """Open the driver's own cursor inside the transaction, for COPY and for DDL with names."""
    return cast(extensions.connection, connection.connection.driver_connection).cursor()


class Store:
    """The market store at one address, shared by every thread of a process and safe across a fork."""

    def __init__(self, url: str) -> None:
        driver_url(url)
        self.url = url
        self._engines: dict[int, Engine] = {}

    @property
    def engine(self) -> Engine:
        """The pool of this process: a forked child never talks on its parent's connections."""
        process = os.getpid()
        engine = self._engines.get(process)
        if engine is None:
            self._forget_parents(process)
            # setdefault instead of a lock: a lock may be held by another thread at the moment of the fork
            engine = self._engines.setdefault(process, new_engine(self.url))
        return engine

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection; commit at the end, roll back on an error, the store's words for it."""
        with translated(), self.engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close this process's connections; the next use opens new ones."""
        engine = self._engines.pop(os.getpid(), None)
        if engine is not None:
            engine.dispose()

    def _forget_parents(self, process: int) -> None:
        for owner in [owner for owner in self._engines if owner != process]:
            self._engines.pop(owner).dispose(close=False)


def connect(url: str) -> Store:
    """Name a store by its address; nothing is opened before the first use. ValueError for a wrong address."""
    return Store(url)
