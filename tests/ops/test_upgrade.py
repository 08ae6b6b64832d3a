"""`manage.py upgrade` on a scratch database: a migration that fails leaves all as it was, the mended one works."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import psycopg2
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from pytest_django import DjangoDbBlocker

from apps.journal.models import Pulse
from apps.ops import schema, stopping
from apps.ops.backups.servers import Target, drop, maintenance
from apps.ops.servers.places import REPOSITORY
from apps.ops.supervisor import only_one
from apps.ops.upgrading import quiet
from apps.ops.upgrading.errors import UpgradeRefused
from tests.servers import temporary_folder

NEW = "0003_configuration"
TABLE = "ops_configurationversion"
HOLDER = """
import json, os, signal, sys, time
from pathlib import Path
from apps.ops.supervisor import only_one
def stop(*_):
    note = json.loads((Path(sys.argv[1]).parent / "stopping.json").read_text())
    print("stopped:", note["reason"], flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
with only_one(Path(sys.argv[1])) as claim:
    claim.announce("http://127.0.0.1:1")
    print("holds", flush=True)
    time.sleep(600)
"""


class Site:
    """A database with tables of older code, and a state directory."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.target = target
        self.folder = folder

    def manage(self, *words: str) -> "subprocess.CompletedProcess[str]":
        own = {
            "DATABASE_URL": self.target.url,
            "MARKET_DATABASE_URL": self.target.url,
            "TRADINGSITE_VAR": str(self.folder),
            "BACKUP_DIR": str(self.folder / "backups"),
            "TRADINGSITE_EMBEDDED": "",
        }
        return subprocess.run(
            [sys.executable, str(REPOSITORY / "manage.py"), *words],
            env={**os.environ, **own},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def ask(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with closing(psycopg2.connect(self.target.url)) as link, link, link.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def site(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Site]:
    """A copy of the test database, set back by one migration."""
    assert MigrationLoader(None).graph.leaf_nodes("ops") == [("ops", NEW)], "set back all after 0002 as well"
    with temporary_folder("tradingsite-upgrade-") as folder:
        with django_db_blocker.unblock():
            name = connection.settings_dict["NAME"]
            connections.close_all()
            target = Target(url=settings.DATABASE_URL).beside(f"{name}_old")
            with maintenance(target) as link, link.cursor() as cursor:
                # Threads of earlier modules may have left a connection to what is copied.
                cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
                cursor.execute(f'CREATE DATABASE "{target.name}" TEMPLATE "{name}"')
        made = Site(target, folder)
        made.ask(f"DROP TABLE {TABLE}")
        made.ask("DELETE FROM django_migrations WHERE app = 'ops' AND name = %s", NEW)
        made.ask("INSERT INTO journal_event (kind, subject, actor, payload) VALUES ('told', 'x', '', '{}')")
        try:
            yield made
        finally:
            like = target.name.replace("_", r"\_") + "%"
            with maintenance(target) as link, link.cursor() as cursor:
                cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [like])
                names = [row[0] for row in cursor.fetchall()]
            for each in names:
                drop(target.beside(each))


def databases(site: Site) -> set[str]:
    return {str(row[0]) for row in site.ask("SELECT datname FROM pg_database WHERE NOT datistemplate")}


def applied(site: Site) -> bool:
    return bool(site.ask("SELECT 1 FROM django_migrations WHERE app = 'ops' AND name = %s", NEW))


def test_a_process_refuses_tables_older_than_its_code(site: Site) -> None:
    done = site.manage("sweeper")
    assert done.returncode == 2
    assert "sweeper does not start. The tables are older than this code: 1 change" in done.stderr
    assert "manage.py upgrade" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_migration_that_fails_leaves_the_database_as_it_was(site: Site) -> None:
    before = databases(site)
    site.ask(f"CREATE TABLE {TABLE} (in_the_way int)")
    done = site.manage("upgrade", "--json")
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    assert not answer["ok"]
    assert f'relation "{TABLE}" already exists' in answer["sentence"]
    assert not applied(site)
    assert site.ask("SELECT count(*) FROM journal_event WHERE kind = 'told'") == [(1,)]
    assert site.ask("SELECT payload ->> 'version' FROM journal_event WHERE kind = 'site.upgrade_failed'") == [
        (answer["version"],)
    ]
    assert databases(site) - before == set(answer["kept"]), "the failed database is kept, nothing else is left"
    site.ask(f"DROP TABLE {TABLE}")


def test_the_mended_upgrade_is_made(site: Site) -> None:
    done = site.manage("upgrade", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["ok"]
    assert Path(answer["backup"]).is_dir()
    assert applied(site)
    assert site.ask("SELECT count(*) FROM journal_event WHERE kind = 'site.upgraded'") == [(1,)]


@pytest.mark.django_db
def test_tables_that_fit_have_nothing_to_do_and_older_ones_are_only_told_of_on_request(tick_store: object) -> None:
    out = StringIO()
    call_command("upgrade", stdout=out)
    assert "nothing to do" in out.getvalue()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'ops' AND name = %s", [NEW])
    with pytest.raises(SystemExit):
        call_command("upgrade", "--check", stdout=out)
    assert "older than this code" in out.getvalue()
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('ops', '0999_later', now())")
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('ops', %s, now())", [NEW])
    with pytest.raises(CommandError, match="newer than this code"):
        call_command("upgrade")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM django_migrations WHERE app = 'ops'", "older than this code: .* first ops.0001"),
        ("INSERT INTO django_migrations (app, name, applied) VALUES ('ops', '0999_later', now())", "newer than this"),
        ("UPDATE market.alembic_version SET version_num = '0000'", "market store is newer"),
        ("DELETE FROM market.alembic_version", "market store are older"),
        ("DROP TABLE market.alembic_version", "^$"),
        ("DROP TABLE django_migrations CASCADE", "database is empty"),
        ("INSERT INTO django_migrations (app, name, applied) VALUES ('gone', '0001_x', now())", "^$"),
    ],
)
def test_what_does_not_fit_is_said_in_plain_words(
    tick_store: object, statement: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "MARKET_DATABASE_URL", settings.DATABASE_URL)
    assert schema.mismatch() == ""
    with connection.cursor() as cursor:
        cursor.execute(statement)
    assert re.search(words, schema.mismatch())


def test_the_migrations_known_by_their_files_are_those_that_django_loads() -> None:
    assert schema.known_migrations() == set(MigrationLoader(None).disk_migrations)


@pytest.mark.django_db
def test_the_site_here_is_stopped_and_kept_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "VAR", tmp_path)
    lock = tmp_path / "up.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holds\n"
        said: list[str] = []
        with quiet.kept(now, said.append):
            assert holder.wait(20) == 0
            assert holder.stdout.read() == "stopped: an upgrade\n"
            with pytest.raises(Exception, match=f"pid {os.getpid()}"), only_one(lock):
                pass
        assert any("stopping the site" in line for line in said)
        assert not (tmp_path / stopping.NOTE).exists(), "what ends later ends for reasons of its own"
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.django_db
def test_who_still_runs_elsewhere_keeps_the_upgrade_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "VAR", tmp_path)
    monkeypatch.setattr(quiet, "SILENCE", 0.5)
    seen = {"started_at": now(), "beat_at": now(), "facts": {}}
    Pulse.objects.create(name="listener:0", host=settings.HOST_NAME, pid=2**22 + 1, **seen)  # dead
    with quiet.kept(now, lambda _text: None):
        pass
    Pulse.objects.create(name="listener:1", host="other", pid=12, **seen)
    with pytest.raises(UpgradeRefused, match="listener:1 at other:12"), quiet.kept(now, lambda _text: None):
        pytest.fail("it was begun")


def now() -> datetime:
    return datetime.now(UTC)
