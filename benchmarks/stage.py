"""A site of the benchmark's own: throw-away servers, empty tables, real processes; all of it gone at the end."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import django
import psutil

from apps.ops import servers
from apps.ops.servers import identity, places, postgres

ROOT = Path(__file__).resolve().parents[1]
# Nothing of the operator's may be touched: these are ours for the time of the run.
_FORGOTTEN = ("DATABASE_URL", "REDIS_URL", "MARKET_DATABASE_URL", "BROKER_URL", servers.EMBEDDED)


@contextlib.contextmanager
def stage() -> Iterator[Path]:
    """Start servers in a folder of their own, migrate both schemas, and set Django up; yields the folder."""
    before = dict(os.environ)
    folder = Path(tempfile.mkdtemp(prefix="tradingsite-bench-")).resolve()
    folder.chmod(0o711)  # the servers' unprivileged user passes through
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite end cleans up like Ctrl-C
    try:
        for name in _FORGOTTEN:
            os.environ.pop(name, None)
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "tradingsite.settings",
            "ENVIRONMENT": "development",
            "SECRET_KEY": "for-benchmarks-only-for-benchmarks-only-for-benchmarks-only",
            "TRADINGSITE_VAR": str(folder / "var"),
            "LOG_LEVEL": "INFO",
        }
        with servers.hold(folder / "var") as found:
            os.environ |= {"MARKET_DATABASE_URL": found.database_url, "BROKER_URL": found.redis_url}
            django.setup()
            _migrate()
            yield folder
    finally:
        _remove(folder)
        os.environ.clear()
        os.environ |= before


def _remove(folder: Path) -> None:
    """Remove a folder; who is just ending may still write a last line into it."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def _migrate() -> None:
    from apps.ops import first_run

    first_run.migrate()


def superuser_url(folder: Path) -> str:
    """Return the address by which the throw-away PostgreSQL lets everything be done, checkpoints included."""
    place = places.settle(folder / "var")
    mine = identity.establish(place)
    server = postgres.Postgres(
        place=place, port=mine.ports["postgresql"], password=mine.app, superuser_password=mine.superuser
    )
    return server.url.replace(f"{postgres.ROLE}:{mine.app}@", f"{postgres.SUPERUSER}:{mine.superuser}@")


class Running:
    """A process of the site with its log."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self.log = log
        self.started = time.perf_counter()

    def text(self) -> str:
        """Return what it has said so far."""
        return self.log.read_text(errors="replace")

    def until(self, words: str, patience: float = 60.0) -> float:
        """Wait until it says the words; return the seconds since its start. Raises RuntimeError."""
        while words not in self.text():
            if self.process.poll() is not None or time.perf_counter() - self.started > patience:
                raise RuntimeError(f"{self.log.name} never said {words!r}: {self.text()[-2000:]}")
            time.sleep(0.002)
        return time.perf_counter() - self.started


@contextlib.contextmanager
def running(argv: list[str], log: Path, environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Run a Python process and end it with all its children, whatever happens."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *argv], cwd=ROOT, env={**os.environ, **(environment or {})}, stdout=file, stderr=file
        )
        try:
            yield Running(process, log)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()


def until(true: Callable[[], object], patience: float, what: str) -> None:
    """Wait until something holds. Raises RuntimeError."""
    deadline = time.monotonic() + patience
    while not true():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {patience:.0f} s")
        time.sleep(0.01)


def rows(statement: str, values: object = None) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows, if it has any."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []
