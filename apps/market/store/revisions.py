"""Which revision the tables are at, and how they get to the newest: Alembic without its command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.schema import CreateSchema

from apps.market.store import schema
from apps.market.store.connection import new_engine, translated

SCRIPTS = Path(__file__).resolve().parents[3] / "migrations"
VARIABLES = ("MARKET_DATABASE_URL", "DATABASE_URL")

# One at a time may change tables; the pair is this store's own, away from single-number locks of others.
LOCK = text("SELECT pg_advisory_xact_lock(7170932, 1)")
PARTITIONS = text(
    "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = :schema AND c.relispartition"
)


def migrate(url: str) -> None:
    """Bring the tables to the newest revision; callers that start together take turns, and the later find it done."""
    config = _config()
    with _connection(url) as connection:
        prepare(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def pending(url: str) -> bool:
    """Say whether a revision is still to be applied; reads the version table and the scripts, changes nothing."""
    with _connection(url) as connection:
        applied = MigrationContext.configure(connection, opts=options(connection)).get_current_heads()
    return set(applied) != set(ScriptDirectory.from_config(_config()).get_heads())


def check(url: str) -> list[str]:
    """List where the tables differ from `schema`, in Alembic's words; empty when they are equal."""
    with _connection(url) as connection:
        context = MigrationContext.configure(connection, opts=options(connection))
        return [str(difference) for difference in compare_metadata(context, schema.METADATA)]


def prepare(connection: Connection) -> None:
    """Take the turn to change tables until the transaction ends, and make the schema for the version table."""
    connection.execute(LOCK)
    connection.execute(CreateSchema(schema.NAME, if_not_exists=True))


def options(connection: Connection) -> dict[str, Any]:
    """Return what Alembic must know to look at our schema alone and to overlook its partitions."""
    return {
        "target_metadata": schema.METADATA,
        "version_table_schema": schema.NAME,
        "include_schemas": True,
        "include_name": _is_ours(frozenset(connection.scalars(PARTITIONS, {"schema": schema.NAME}))),
        "compare_server_default": True,
    }


def environment_url(environment: Mapping[str, str] = os.environ) -> str:
    """Find the address for the Alembic command line; RuntimeError naming the variables when neither is set."""
    for variable in VARIABLES:
        if environment.get(variable):
            return environment[variable]
    raise RuntimeError(f"set one of {', '.join(VARIABLES)} to postgresql://user:password@host:port/name")


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    with translated(), new_engine(url, NullPool).begin() as connection:
        yield connection


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    return config


def _is_ours(partitions: frozenset[str]) -> Callable[[str | None, str, Mapping[str, str | None]], bool]:
    def decide(name: str | None, kind: str, _parents: Mapping[str, str | None]) -> bool:
        if kind == "schema":
            return name == schema.NAME
        return kind != "table" or name not in partitions

    return decide
