"""A restore checks everything before it changes anything, and proves afterwards that the site is what it was."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from apps.ops.backups import manifest, restoring, servers
from apps.ops.backups.errors import BackupUnusable
from apps.ops.backups.servers import Target
from apps.ops.backups.taking import Plan, Taken, hold, take
from tests import factories
from tests.ops.backups.conftest import AT, command
from tests.ops.holders import query


@pytest.fixture
def empty(plan: Plan) -> Iterator[Target]:
    """The name of a database that is not there yet and is gone afterwards."""
    target = plan.site.beside(f"{plan.site.name}_restored")
    servers.drop(target)
    yield target
    servers.drop(target)


def rewritten(folder: Path, **changes: Any) -> None:
    """Write a manifest that says something else and whose own sum fits."""
    found = manifest.read(folder, None)
    (folder / manifest.FILE).write_text(manifest.text(replace(found, **changes), None))


def exists(target: Target, beside: Target) -> bool:
    return query(beside.url, f"SELECT 1 FROM pg_database WHERE datname = '{target.name}'") == [(1,)]


def test_a_restored_site_is_what_it_was_and_holds(taken: Taken, plan: Plan, empty: Target) -> None:
    process = command(plan, "restore", str(taken.folder), "--into", empty.name, "--json")
    out, words = process.communicate(timeout=120)
    assert process.returncode == 0, words.decode()
    answer = json.loads(out)
    assert answer["ok"] is True
    assert (answer["differences"], answer["broken"], answer["migrated"]) == ([], [], False)
    positions = "SELECT id, status, quantity, remaining, cost FROM trading_position ORDER BY id"
    assert query(empty.url, positions) == query(plan.site.url, positions)
    assert b"KEY_FILE" in words
    assert b"Set DATABASE_URL" in words
    assert plan.site.parts["password"].encode() not in out + words
    # What protects the books came along: the ledger still refuses to be rewritten.
    with pytest.raises(servers.psycopg2.Error, match="append"):
        query(empty.url, "UPDATE trading_ledgerentry SET cash = cash + 1, capital = capital - 1")


def test_a_database_with_anything_in_it_is_refused_and_left_alone(taken: Taken, plan: Plan) -> None:
    source = restoring.opened(taken.folder, None)
    with pytest.raises(BackupUnusable, match="is not empty"):
        restoring.restore(source, plan.site)
    assert query(plan.site.url, "SELECT count(*) FROM trading_position") == [(2,)]


def test_one_flipped_bit_is_found_before_anything_is_made(taken: Taken, plan: Plan, empty: Target) -> None:
    path = taken.folder / "site.dump"
    bytes_there = bytearray(path.read_bytes())
    bytes_there[len(bytes_there) // 2] ^= 4
    path.write_bytes(bytes_there)
    with pytest.raises(BackupUnusable, match="is damaged: its SHA-256 is"):
        restoring.opened(taken.folder, None)
    assert not exists(empty, plan.site)


def test_a_manifest_that_was_touched_is_refused(taken: Taken) -> None:
    path = taken.folder / manifest.FILE
    text = path.read_text()
    path.write_text(text.replace('"market.ticks": [\n    0', '"market.ticks": [\n    1'))
    assert path.read_text() != text
    with pytest.raises(BackupUnusable, match="its own sum does not fit"):
        restoring.opened(taken.folder, None)
    path.write_text(text[: len(text) // 2])
    with pytest.raises(BackupUnusable, match="no JSON"):
        restoring.opened(taken.folder, None)
    path.unlink()
    with pytest.raises(BackupUnusable, match="no finished backup"):
        restoring.opened(taken.folder, None)


@pytest.mark.parametrize("newer", ["version", "site", "market"])
def test_older_code_refuses_a_backup_of_newer_code(taken: Taken, newer: str) -> None:
    contents = taken.manifest.contents
    changes: dict[str, dict[str, Any]] = {
        "version": {"version": "99.0.0"},
        "site": {"contents": replace(contents, site_migrations=[*contents.site_migrations, "trading.0999_later"])},
        "market": {"contents": replace(contents, market_migrations=["0999"])},
    }
    rewritten(taken.folder, **changes[newer])
    with pytest.raises(BackupUnusable, match="which is older"):
        restoring.opened(taken.folder, None)


def test_a_sealed_backup_wants_its_own_key(plan: Plan, key_file: Path, folder: Path, empty: Target) -> None:
    with hold(replace(plan, key_file=key_file)) as held:
        sealed = take(held, at=AT)
    with pytest.raises(BackupUnusable, match="set BACKUP_KEY_FILE"):
        restoring.opened(sealed.folder, None)
    other = folder / "other.key"
    restoring.keyfile.create(other)
    with pytest.raises(BackupUnusable, match="is sealed with the key"):
        restoring.opened(sealed.folder, other)
    restored = restoring.restore(restoring.opened(sealed.folder, key_file), empty)
    assert (restored.differences, restored.broken) == ([], [])


def test_a_restore_that_fails_takes_the_database_it_made_away(taken: Taken, plan: Plan, empty: Target) -> None:
    source = restoring.opened(taken.folder, None)
    (taken.folder / "site.dump").write_bytes((taken.folder / "site.dump").read_bytes()[:-2000])
    with pytest.raises(restoring.BackupFailed, match="pg_restore"):
        restoring.restore(source, empty)
    assert not exists(empty, plan.site)


def test_a_store_of_its_own_comes_back_beside_or_into_the_site(plan: Plan, empty: Target) -> None:
    apart = replace(plan, market=Target(url=f"{plan.site.url}?application_name=other"))
    with hold(apart) as held:
        taken = take(held, at=AT)
    market = plan.site.beside(f"{plan.site.name}_market")
    try:
        restored = restoring.restore(restoring.opened(taken.folder, None), empty, market)
        assert restored.ok, asdict(restored)
        assert query(market.url, "SELECT count(*) FROM market.ticks") == [(0,)]
        assert query(empty.url, "SELECT to_regclass('market.ticks')") == [(None,)]
    finally:
        servers.drop(market)


def test_what_was_on_its_way_at_the_snapshot_is_not_late_a_week_after(plan: Plan, empty: Target) -> None:
    instrument, account = factories.make_instrument("ETH-USD"), factories.make_account(factories.make_user("other"))
    held_position = factories.opened(account, instrument, factories.stop("90"))
    factories.record([factories.crossing(factories.leg_of(held_position, "stop_loss"), "89")])
    with hold(plan) as held:
        taken = take(held, at=AT)
    restored = restoring.restore(restoring.opened(taken.folder, None), empty)
    assert restored.broken == []
    week_later = taken.manifest.at + timedelta(days=7)
    (late,) = restoring.judged([empty, empty], week_later)
    assert late.startswith("I7 ")
    assert query(empty.url, "SELECT 1 FROM pg_namespace WHERE nspname = 'backup_clock'") == []


def test_a_row_that_came_back_otherwise_is_named(taken: Taken, empty: Target) -> None:
    contents = taken.manifest.contents
    count, total = contents.tables["public.trading_fill"]
    tables = {**contents.tables, "public.trading_fill": (count, str(int(total) + 1))}
    rewritten(taken.folder, contents=replace(contents, tables=tables))
    restored = restoring.restore(restoring.opened(taken.folder, None), empty)
    (said,) = restored.differences
    assert said.startswith("public.trading_fill: ")
    assert not restored.ok


def test_a_backup_of_older_code_is_brought_to_this_one(taken: Taken, plan: Plan, empty: Target) -> None:
    # One app's tables are taken out of a copy, as if the backup came from before that app was there.
    restoring.restore(restoring.opened(taken.folder, None), empty)
    query(empty.url, "DROP TABLE django_session; DELETE FROM django_migrations WHERE app = 'sessions'")
    with hold(replace(plan, site=empty, market=empty)) as held:
        older = take(held, at=AT + timedelta(hours=1))
    again = plan.site.beside(f"{plan.site.name}_again")
    try:
        restored = restoring.restore(restoring.opened(older.folder, None), again)
        assert restored.migrated
        assert restored.ok, asdict(restored)
        assert query(again.url, "SELECT count(*) FROM django_session") == [(0,)]
    finally:
        servers.drop(again)
