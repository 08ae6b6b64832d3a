"""Plug-in: real PostgreSQL and Redis for the test session, started before settings are read, gone after it.

`TEST_DATABASE_URL` and `TEST_REDIS_URL` name servers to use instead. Tests that kill or stall servers take
`private_servers` and get a pair of their own.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from apps.ops import servers
from apps.ops.servers import ServersUnavailable, identity, places

ADDRESSES = {"postgresql": "DATABASE_URL", "redis": "REDIS_URL"}
STOP_MODES = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
    "kill": signal.SIGKILL,
}
# Ends what a test session killed with -9 leaves behind: its standard input closes only with the session.
LAST_RESORT = """
read -r _
kill -INT "$(head -n 1 "$1/servers/postgres/postmaster.pid")"
kill -TERM "$(head -n 1 "$1/servers/redis/redis.pid")"
sleep 2
rm -rf "$1"
"""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> Iterator[None]:
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        _take_own_redis_database(worker)
    elif not {"-h", "--help", "-V", "--version"} & set(args):
        stack = contextlib.ExitStack()
        early_config.add_cleanup(stack.close)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite end cleans up like Ctrl-C
        try:
            stack.enter_context(_session_servers())
        except ServersUnavailable as error:
            stack.close()
            raise pytest.UsageError(str(error)) from None
    yield


def pytest_report_header() -> list[str]:
    return [f"servers: {os.environ.get('TRADINGSITE_TEST_SERVERS', 'as named by the environment')}"]


@contextlib.contextmanager
def _session_servers() -> Iterator[None]:
    given = {ADDRESSES[name]: os.environ.get(f"TEST_{ADDRESSES[name]}", "") for name in ADDRESSES}
    wanted = tuple(name for name, variable in ADDRESSES.items() if not given[variable])
    with temporary_folder("tradingsite-tests-") as folder, contextlib.ExitStack() as stack:
        values = {
            "DJANGO_SETTINGS_MODULE": "tradingsite.settings",
            "ENVIRONMENT": "development",
            "SECRET_KEY": "for-tests-only-for-tests-only-for-tests-only-for-tests-only",
            "TRADINGSITE_VAR": str(folder / "var"),
            "TRADINGSITE_TEST_SERVERS": ", ".join(given.values()),
            servers.EMBEDDED: "",
            **given,
        }
        if wanted:
            stack.enter_context(_last_resort(folder))
            found = stack.enter_context(servers.lease(folder / "servers", wanted))
            ours = {"postgresql": found.database_url, "redis": found.redis_url}
            values |= {ADDRESSES[name]: ours[name] for name in wanted}
            values["TRADINGSITE_TEST_SERVERS"] = f"{found.postgresql}, {found.redis}"
            if "postgresql" in wanted:
                spare_the_disk(folder / "servers", "fsync", "full_page_writes", "synchronous_commit")
        stack.enter_context(_environment(values))
        yield


def spare_the_disk(state: Path, *settings: str) -> None:
    """Let a PostgreSQL of tests not wait for the disk: nothing in it is to outlive a loss of power.

    `fsync` and `full_page_writes` change nothing of what a killed server keeps, and everything about how long it takes
    to come back when others fill the disk; without `synchronous_commit` the last half second of commits can be lost.
    """
    known = identity.recall(places.settle(state))
    assert known is not None
    link = psycopg2.connect(
        host=identity.HOST, port=known.ports["postgresql"], user="postgres", password=known.superuser, dbname="postgres"
    )
    link.autocommit = True
    with contextlib.closing(link), link.cursor() as cursor:
        for name in settings:
            cursor.execute(f"ALTER SYSTEM SET {name} = off")
        cursor.execute("SELECT pg_reload_conf()")


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Make a folder that the servers' unprivileged user may pass through, and remove it with all it holds."""
    folder = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _last_resort(folder: Path) -> Iterator[None]:
    silent = subprocess.DEVNULL
    with subprocess.Popen(
        ["sh", "-c", LAST_RESORT, "sh", str(folder)],
        stdin=subprocess.PIPE,
        stdout=silent,
        stderr=silent,
        start_new_session=True,
    ) as watcher:
        try:
            yield
        finally:
            watcher.kill()  # this session ends well: nothing is left to do


def _take_own_redis_database(worker: str) -> None:
    base, _, _ = os.environ["REDIS_URL"].rpartition("/")
    os.environ["REDIS_URL"] = f"{base}/{int(worker.removeprefix('gw')) + 1}"


class PrivateServers:
    """A PostgreSQL and a Redis of a test's own, to be killed, stalled and started again at will."""

    def __init__(self, state: Path, addresses: servers.Addresses) -> None:
        self.state = state
        self.addresses = addresses
        self.database_url = addresses.database_url
        self.redis_url = addresses.redis_url

    @property
    def postgres_pid(self) -> int | None:
        return servers.pid("postgresql", self.state)

    @property
    def redis_pid(self) -> int | None:
        return servers.pid("redis", self.state)

    @property
    def environment(self) -> dict[str, str]:
        """The environment for a process that shall use these servers."""
        own = {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url, servers.EMBEDDED: ""}
        return {**os.environ, **own}

    def kill_redis(self) -> None:
        _signal_and_wait(self.redis_pid, signal.SIGKILL)

    def pause_redis(self) -> None:
        _signal(self.redis_pid, signal.SIGSTOP)

    def resume_redis(self) -> None:
        _signal(self.redis_pid, signal.SIGCONT)

    def restart_redis(self) -> None:
        """Start Redis again with the same port, password and data; a no-op when it runs."""
        servers.revive("redis", self.state)

    def stop_postgres(self, mode: str = "fast") -> None:
        """Stop PostgreSQL: smart, fast, immediate (all its own shutdown modes) or kill (SIGKILL to the postmaster)."""
        _signal_and_wait(self.postgres_pid, STOP_MODES[mode])

    def pause_postgres(self) -> None:
        """Freeze the whole PostgreSQL, sessions included."""
        for pid in _family(self.postgres_pid):
            _signal(pid, signal.SIGSTOP)

    def resume_postgres(self) -> None:
        for pid in _family(self.postgres_pid):
            _signal(pid, signal.SIGCONT)

    def start_postgres(self) -> None:
        """Start PostgreSQL again with the same port, password and data; a no-op when it runs."""
        servers.revive("postgresql", self.state)

    def mend(self) -> None:
        """Bring both back, so that the end of the test stops them in order and leaves no shared memory behind."""
        self.resume_redis()
        self.resume_postgres()
        self.start_postgres()


@pytest.fixture
def private_servers() -> Iterator[Callable[[], PrivateServers]]:
    """Make throw-away servers for this test alone; may be called more than once."""
    with contextlib.ExitStack() as stack:

        def make() -> PrivateServers:
            folder = stack.enter_context(temporary_folder("tradingsite-private-"))
            addresses = stack.enter_context(servers.lease(folder / "servers"))
            spare_the_disk(folder / "servers", "fsync", "full_page_writes")
            made = PrivateServers(folder / "servers", addresses)
            stack.callback(made.mend)
            return made

        yield make


def _family(pid: int | None) -> list[int]:
    if pid is None:
        return []
    with contextlib.suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return []


def _signal(pid: int | None, number: signal.Signals) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _signal_and_wait(pid: int | None, number: signal.Signals) -> None:
    if pid is None:
        return
    process = psutil.Process(pid)
    _signal(pid, number)
    with contextlib.suppress(psutil.TimeoutExpired):
        process.wait(timeout=15)
