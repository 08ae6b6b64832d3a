"""Real workers on the session's broker and the test database."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
import redis
from django.conf import settings
from django.db import connection

from apps.ops import processes
from workers import bell, queues

ROOT = Path(__file__).parents[2]
PREFIX = "tradingsite:"


@pytest.fixture(scope="session")
def database_url(django_db_setup: None) -> str:
    """The address of the test database, for other processes."""
    return f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{connection.settings_dict['NAME']}"


@pytest.fixture
def broker() -> Iterator["redis.Redis"]:
    """The session's Redis with empty queues before and after."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    _clear(client)
    yield client
    _clear(client)
    client.close()


def _clear(client: "redis.Redis") -> None:
    client.delete(bell.KEY, f"{PREFIX}quarantine", *(f"{PREFIX}{name}" for name in queues.NAMES))


@contextmanager
def running(*argv: str, environment: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a Python process and end it and all its children, whatever happens."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *argv],
            cwd=ROOT,
            env={**os.environ, "PYTHONWARNINGS": "default", **environment},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        family = psutil.Process(process.pid)
        try:
            yield process
        finally:
            members = family.children(recursive=True) if process.poll() is None else []
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            for member in members:
                if member.is_running():
                    member.kill()


@pytest.fixture
def start_worker(
    database_url: str, transactional_db: None, broker: "redis.Redis", tmp_path: Path
) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Start a worker as `manage.py up` does and wait until it is ready."""
    argv = {child.name: child.argv[1:] for child in processes.children(settings, flower_password="x")}
    with ExitStack() as stack:

        def start(name: str = "worker-exits", **environment: str) -> "subprocess.Popen[bytes]":
            log = tmp_path / f"{name}.log"
            own = {"DATABASE_URL": database_url, **processes.CELERY, "LOG_LEVEL": "INFO", **environment}
            process = stack.enter_context(running(*argv[name], environment=own, log=log))
            eventually(lambda: b" ready." in log.read_bytes(), 30, lambda: log.read_text()[-3000:])
            return process

        yield start


def eventually(true: Callable[[], object], patience: float = 10.0, explain: Callable[[], str] = str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, f"it did not happen within {patience} s: {explain()}"
        time.sleep(0.01)
