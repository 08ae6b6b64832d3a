"""Bringing servers up and down: one loop for every way a server may be found (absent, starting, up, stopping)."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from apps.ops.servers import identity, processes
from apps.ops.servers.errors import ServersUnavailable
from apps.ops.servers.postgres import Postgres
from apps.ops.servers.valkey import Valkey

START_SECONDS = 120.0  # a crash recovery of PostgreSQL may take a while; a start that fails says so at once
RETRY_SECONDS = 15.0
PORT_SECONDS = 3.0
STOP_SECONDS = 8.0
Server = Postgres | Valkey


def ensure_all(servers: Sequence[Server]) -> dict[str, str]:
    """Bring all servers up side by side and return each one's version by name."""
    with ThreadPoolExecutor(max_workers=max(len(servers), 1)) as pool:
        return dict(zip((server.name for server in servers), pool.map(ensure, servers), strict=True))


def ensure(server: Server) -> str:
    """Return the server's version once it answers, starting it when it does not run."""
    begun = time.monotonic()
    process = None
    while time.monotonic() < begun + START_SECONDS:
        if process is None and server.pid() is None and not server.occupied():
            if not identity.is_free(server.port):
                # A server killed just now takes a moment to let go of its port.
                _check_port(server, patient=time.monotonic() < begun + PORT_SECONDS)
                continue
            process = server.launch()
        if process is not None and process.poll() is not None:
            _check_failure(server, retry=time.monotonic() < begun + RETRY_SECONDS)
            process = None
            time.sleep(0.1)
            continue
        # Never show the password to a stranger on our port: ask only once our own process is there.
        version = server.ask() if process is not None or server.pid() is not None else None
        if version is not None:
            return version
        time.sleep(0.01)
    raise ServersUnavailable(
        f"{server.title} in {server.data} (pid {server.pid() or 'unknown'}) did not answer on port {server.port} "
        f"within {START_SECONDS:.0f} seconds: see {server.start_log}, end that process if it hangs, and start again."
    )


def stop_all(servers: Sequence[Server]) -> None:
    """Ask all servers to stop cleanly and wait for them, all together no longer than STOP_SECONDS."""
    going = [(server, server.pid()) for server in servers]
    for server, pid in going:
        if pid is not None:
            processes.end(pid, server.mark, server.stop_signal)
    deadline = time.monotonic() + STOP_SECONDS
    for server, pid in going:
        if pid is not None:
            # One that needs longer goes on stopping by itself; whoever starts next waits for it.
            processes.wait_gone(pid, server.mark, max(0.0, deadline - time.monotonic()))


def _check_port(server: Server, *, patient: bool) -> None:
    if not patient:
        raise ServersUnavailable(
            f"Port {server.port} on {identity.HOST}, which {server.title} had, is in use by another program: end that "
            "program (the port cannot change while other processes of this site use it)."
        )
    time.sleep(0.02)


def _check_failure(server: Server, *, retry: bool) -> None:
    words = server.fate()
    if not (retry and server.passing(words)):
        raise ServersUnavailable(
            f"{server.title} did not start: {words or 'it said nothing'} (look at {server.start_log}). Free what it "
            f"asks for, or set {server.variable} to a server of yours."
        )
