"""`manage.py recover`: the archive of an embedded server, and the database of a named instant beside the site's."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest
from django.conf import settings
from django.db import connection, connections
from pytest_django import DjangoDbBlocker

from apps.ops.backups import programs
from apps.ops.backups.errors import BackupUnusable
from apps.ops.backups.servers import Target
from apps.ops.recovering import archive as archives
from apps.ops.recovering import bringing
from apps.ops.recovering.archive import Archive
from apps.ops.servers import holding, places, processes
from apps.ops.servers.identity import Identity
from apps.ops.servers.places import REPOSITORY, Place
from tests.servers import PrivateServers

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@pytest.fixture
def servers(
    private_servers: Callable[[], PrivateServers], django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[PrivateServers]:
    """An embedded server of the test's own, with the tables of this code."""
    with django_db_blocker.unblock():
        source = Target(url=settings.DATABASE_URL).beside(connection.settings_dict["NAME"])
        connections.close_all()
    made = private_servers()
    there = Target(url=made.database_url)
    dump = [programs.find("pg_dump", at_least=14), "-Fc", "--no-owner", f"--dbname={source.argument}"]
    load = [programs.find("pg_restore", at_least=14), "--no-owner", f"--dbname={there.argument}"]
    programs.write(load, there.environment, programs.read(dump, source.environment))
    return made


def recover(servers: PrivateServers, *words: str) -> "subprocess.CompletedProcess[str]":
    own = {"TRADINGSITE_VAR": str(servers.state), "DATABASE_URL": "", "REDIS_URL": "", holding.EMBEDDED: ""}
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "manage.py"), "recover", *words, "--json"],
        env={name: value for name, value in {**os.environ, **own}.items() if name != "MARKET_DATABASE_URL"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def told(url: str) -> list[str]:
    return [str(row[0]) for row in ask(url, "SELECT subject FROM journal_event WHERE kind = 'told' ORDER BY id")]


def ask(url: str, statement: str, *values: object) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(url)) as link, link, link.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def tell(url: str, word: str) -> None:
    ask(url, "INSERT INTO journal_event (kind, subject, actor, payload) VALUES ('told', %s, '', '{}')", word)


@pytest.mark.faults
@pytest.mark.django_db(transaction=True)
def test_the_database_of_an_instant_comes_back_beside_the_one_in_use(servers: PrivateServers) -> None:
    url, home = servers.database_url, places.settle(servers.state).home
    begun = recover(servers, "--begin")
    assert begun.returncode == 0, begun.stderr
    assert json.loads(begun.stdout)["restarted"]
    tell(url, "before the base")
    based = recover(servers, "--base")
    assert based.returncode == 0, based.stderr
    time.sleep(1.1)  # the base is named by the second
    tell(url, "after the base")
    ((moment,),) = ask(url, "SELECT clock_timestamp()")
    time.sleep(0.05)
    tell(url, "after the accident")
    brought = recover(servers, "--to", str(moment), "--into", "brought")
    assert brought.returncode == 0, brought.stderr
    answer = json.loads(brought.stdout)
    assert (answer["differences"], answer["broken"]) == ([], [])
    assert told(Target(url=url).beside("brought").url) == ["before the base", "after the base"]
    assert told(url) == ["before the base", "after the base", "after the accident"], "the one in use was not touched"
    assert list((home / "recovering").glob("*")) == []
    assert processes.started_with(home / "recovering" / "data") == []


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    place = Place(state=tmp_path, home=tmp_path, account=None)
    mine = Identity(app="a", superuser="s", redis="r", ports={"postgresql": 1, "redis": 2})
    (tmp_path / "wal").mkdir()
    return Archive(folder=tmp_path, place=place, mine=mine)


def base(archive: Archive, at: datetime, first: str) -> Path:
    made = archive.folder / f"base-{at:%Y%m%dT%H%M%SZ}"
    made.mkdir()
    (made / "backup_label").write_text(f"START WAL LOCATION: 0/28 (file {first})\n")
    return made


def test_the_newest_base_before_the_instant_is_played(archive: Archive) -> None:
    with pytest.raises(BackupUnusable, match="holds no base backup"):
        bringing._base_for(archive, NOW, NOW)
    older, newer = base(archive, NOW - 2 * DAY, f"{3:024X}"), base(archive, NOW - DAY, f"{6:024X}")
    (archive.folder / "base-new.part").mkdir()
    assert bringing._base_for(archive, NOW - DAY + SECOND, NOW) == newer
    assert bringing._base_for(archive, NOW - DAY - SECOND, NOW) == older
    with pytest.raises(BackupUnusable, match="nothing earlier can be brought back"):
        bringing._base_for(archive, NOW - 3 * DAY, NOW)
    with pytest.raises(BackupUnusable, match="is not over yet"):
        bringing._base_for(archive, NOW + SECOND, NOW)


def test_bases_and_log_that_newer_ones_make_needless_are_forgotten(archive: Archive) -> None:
    for days, first in ((3, 2), (2, 4), (1, 6)):
        base(archive, NOW - days * DAY, f"{first:024X}")
    for number in range(1, 8):
        (archive.log / f"{number:024X}").touch()
    (archive.log / "00000002.history").touch()
    archives._forget(archive)
    assert list(archive.bases()) == [NOW - 2 * DAY, NOW - DAY]
    assert sorted(path.name for path in archive.log.iterdir()) == [
        *(f"{number:024X}" for number in range(4, 8)),
        "00000002.history",
    ]


def test_a_server_of_the_operator_and_a_strange_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BackupUnusable, match="names a server of yours"):
        archives.of(tmp_path, None)
