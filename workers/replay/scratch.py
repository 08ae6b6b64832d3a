"""A database of a replay's own on the site's server: made, lent to a child process, and dropped whatever happens."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.db import Error, connection

PREFIX: Final = "tradingsite_replay_"
PATIENCE: Final = 5.0  # seconds a child told to end may take


class NoScratch(Exception):
    """A scratch database cannot be made here; the sentence says why and what to do."""


@contextmanager
def database() -> Iterator[str]:
    """Make a database, yield its address, and drop it at the end. Raises NoScratch."""
    _drop_orphans()
    name = f"{PREFIX}{os.getpid()}_{secrets.token_hex(4)}"
    try:
        _execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", name)
        _execute(f'CREATE DATABASE "{name}"')
    except Error as error:
        reason = str(error).strip().splitlines()[0]
        raise NoScratch(
            f"A scratch database cannot be made ({reason}): give the database user CREATEDB, or use --here."
        ) from error
    try:
        yield urlsplit(settings.DATABASE_URL)._replace(path=f"/{name}").geturl()
    finally:
        connection.close()  # it may have been left in the middle of a statement
        _execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def run(argv: Sequence[str], *, database_url: str) -> int:
    """Run a management command on another database and return its exit status; it never outlives this process."""
    own = {
        "DATABASE_URL": database_url,
        "MARKET_DATABASE_URL": database_url,
        "TRADINGSITE_EMBEDDED": "",  # so that the child takes the addresses as they are
        "EXIT_LATE_SECONDS": "3600",  # every exit at the price that triggered it: the same closes on a slow machine
    }
    # Its standard input ends with this process, however this one ends.
    words = [sys.executable, str(settings.BASE_DIR / "manage.py"), *argv]
    with subprocess.Popen(words, stdin=subprocess.PIPE, env=os.environ | own) as child:
        try:
            return child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                _wait_or_kill(child)


def is_scratch() -> bool:
    """Say whether the present database was made by `database`."""
    return str(connection.settings_dict["NAME"]).startswith(PREFIX)


def _wait_or_kill(child: "subprocess.Popen[bytes]") -> None:
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()


def _drop_orphans() -> None:
    """Drop what replays killed with -9 left: a living one holds a lock of its database's name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [PREFIX])
        for (name,) in cursor.fetchall():
            cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name])
            if cursor.fetchone()[0]:
                _execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])


def _execute(statement: str, *values: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
