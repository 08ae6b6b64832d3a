"""The tables are what `schema` says, however they came about, and a start-up race does no harm."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.schema import CreateSchema

from apps.market import store
from apps.market.store import connection, revisions, schema
from tests.market.store.databases import database, query

ROOT = Path(__file__).resolve().parents[3]

CONSTRAINTS = """
    SELECT c.relname, k.conname, k.contype, pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'market' AND c.relname IN ('ticks', 'candles') ORDER BY 1, 2
"""
COLUMNS = """
    SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum), pg_get_partkeydef(c.oid)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE n.nspname = 'market' AND c.relname IN ('ticks', 'candles') AND a.attnum > 0 ORDER BY 1, 2
"""


def test_head_equals_the_tables_of_the_schema_down_to_every_constraint(market_url: str) -> None:
    assert store.check(market_url) == []
    with database() as url:
        engine = create_engine(connection.driver_url(url))
        with engine.begin() as made:
            made.execute(CreateSchema(schema.NAME))
            schema.METADATA.create_all(made)
        engine.dispose()
        for question in (CONSTRAINTS, COLUMNS):
            assert query(market_url, question) == query(url, question)


def test_check_sees_a_table_that_drifted(market_url: str) -> None:
    query(market_url, "ALTER TABLE market.candles ADD COLUMN vwap numeric")
    assert "vwap" in "".join(store.check(market_url))


def test_check_overlooks_partitions_and_tables_of_others(market: store.Store, market_url: str) -> None:
    query(market_url, "CREATE TABLE public.market_instrument (id int)")
    query(market_url, "CREATE TABLE market.ticks_20200101 PARTITION OF market.ticks"
                      " FOR VALUES FROM ('2020-01-01+00') TO ('2020-01-02+00')")  # fmt: skip
    assert store.check(market_url) == []


def test_pending_until_migrated_and_migrating_again_changes_nothing(
    empty_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert store.pending(empty_url)
    store.migrate(empty_url)
    assert not store.pending(empty_url)
    store.migrate(empty_url)
    assert query(empty_url, "SELECT version_num FROM market.alembic_version") == [("0001",)]
    assert capfd.readouterr() == ("", "")


def test_asking_whether_something_is_pending_makes_nothing(empty_url: str) -> None:
    store.pending(empty_url)
    assert query(empty_url, "SELECT 1 FROM pg_namespace WHERE nspname = 'market'") == []


def test_processes_that_start_together_migrate_once(empty_url: str) -> None:
    code = f"from apps.market import store; store.migrate({empty_url!r})"
    started = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE) for _ in range(4)]
    said = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [0] * 4, said
    assert not store.pending(empty_url)


def test_a_migration_waits_for_its_turn(empty_url: str) -> None:
    engine = create_engine(connection.driver_url(empty_url))
    with engine.begin() as holder:
        holder.execute(revisions.LOCK)
        waiting = threading.Thread(target=store.migrate, args=(empty_url,))
        waiting.start()
        waiting.join(0.6)
        assert waiting.is_alive()
    waiting.join(30)
    engine.dispose()
    assert not store.pending(empty_url)


@pytest.mark.parametrize("variable", ["MARKET_DATABASE_URL", "DATABASE_URL"])
def test_the_command_line_finds_the_address_and_goes_down_and_up(empty_url: str, variable: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in revisions.VARIABLES}
    environment[variable] = empty_url
    for words in (["upgrade", "head"], ["check"], ["downgrade", "base"]):
        command = [sys.executable, "-m", "alembic", *words]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
    assert query(empty_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'market'") == [("alembic_version",)]


def test_the_command_line_without_an_address_names_the_variables() -> None:
    with pytest.raises(RuntimeError, match="MARKET_DATABASE_URL, DATABASE_URL"):
        revisions.environment_url({})


def test_the_market_address_goes_before_the_common_one() -> None:
    assert revisions.environment_url({"DATABASE_URL": "a", "MARKET_DATABASE_URL": "b"}) == "b"
