"""Back to a named instant: the steps of docs/backup.md on a real server, with the accident in between."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from apps.ops.servers import identity, places, processes, programs
from apps.ops.servers.places import Place
from tests.servers import PrivateServers

SECONDS = 30


def run(place: Place, *argv: str | Path, **environment: str) -> None:
    """Run one of PostgreSQL's programs as the servers' user."""
    account = place.account
    done = subprocess.run(
        [str(part) for part in argv],
        env={"PATH": os.environ["PATH"], **environment},
        cwd="/",
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def ask(port: int, password: str, statement: str, database: str = "tradingsite") -> list[tuple[object, ...]]:
    link = psycopg2.connect(host="127.0.0.1", port=port, user="postgres", password=password, dbname=database)
    link.autocommit = True
    with contextlib.closing(link), link.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def started(place: Place, bindir: Path, data: Path, port: int) -> Iterator[None]:
    """Start a second server on restored files, and stop it again."""
    # While it recovers it wants to hold as many sessions as the server that wrote the log.
    options = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200"
    log = data / "restored.log"
    run(place, bindir / "pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "-t", str(SECONDS), "start")
    try:
        yield
    finally:
        run(place, bindir / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def archive_log(pair: PrivateServers, port: int, word: str, archive: Path) -> None:
    """Step 1: each file of the log once and never over another one."""
    for statement in (
        "ALTER SYSTEM SET archive_mode = on",
        f"ALTER SYSTEM SET archive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f'",
    ):
        ask(port, word, statement)
    pair.stop_postgres()
    pair.start_postgres()


def aim(place: Place, base: Path, archive: Path, moment: object) -> None:
    """Step 4: say to the copy where its log is and at which instant to stop."""
    with (base / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"archive_mode = off\nrestore_command = 'cp {archive}/%f %p'\n")
        settings.write(f"recovery_target_time = '{moment}'\nrecovery_target_action = 'promote'\n")
    (base / "recovery.signal").touch()
    place.give(base / "recovery.signal")


@pytest.mark.faults
def test_the_site_comes_back_as_it_was_a_moment_before_the_accident(
    private_servers: Callable[[], PrivateServers],
) -> None:
    pair = private_servers()
    place = places.settle(pair.state)
    known = identity.recall(place)
    assert known is not None
    port, word = known.ports["postgresql"], known.superuser
    bindir = place.reachable(programs.postgres()).path.parent
    archive, base = place.folder("wal-archive"), place.folder("base")

    archive_log(pair, port, word, archive)

    # 2. A base backup, any night.
    ask(port, word, "CREATE TABLE told (at timestamptz DEFAULT clock_timestamp(), word text)")
    ask(port, word, "INSERT INTO told (word) VALUES ('before the base')")
    source = ("-h", "127.0.0.1", "-p", str(port), "-U", "postgres")
    run(place, bindir / "pg_basebackup", *source, "-D", base, "-X", "stream", "-c", "fast", PGPASSWORD=word)
    run(place, bindir / "pg_verifybackup", base)

    # 3. The day goes on; then the accident.
    ask(port, word, "INSERT INTO told (word) VALUES ('after the base')")
    time.sleep(0.05)
    ((moment,),) = ask(port, word, "SELECT clock_timestamp()::text")
    time.sleep(0.05)
    ask(port, word, "DELETE FROM told")
    ask(port, word, "INSERT INTO told (word) VALUES ('after the accident')")
    ((segment,),) = ask(port, word, "SELECT pg_walfile_name(pg_switch_wal())")
    deadline = time.monotonic() + SECONDS
    while not (archive / str(segment)).exists() and time.monotonic() < deadline:
        time.sleep(0.05)

    # 4. Back to the moment, beside the site that still runs.
    aim(place, base, archive, moment)
    other = next(number for number in range(port + 1, 30_000) if identity.is_free(number))
    try:
        with started(place, bindir, base, other):
            told = ask(other, word, "SELECT word FROM told ORDER BY at")
            deadline = time.monotonic() + SECONDS
            while ask(other, word, "SELECT pg_is_in_recovery()") == [(True,)] and time.monotonic() < deadline:
                time.sleep(0.05)
            ask(other, word, "INSERT INTO told (word) VALUES ('it takes writes again')")
    finally:
        shutil.rmtree(base, ignore_errors=True)
    assert told == [("before the base",), ("after the base",)]
    assert processes.started_with(base) == []
    assert ask(port, word, "SELECT word FROM told") == [("after the accident",)]
