"""Who holds the servers: the first holder starts them, later ones adopt them, the last one stops them.

Holders share a lock on a file; the kernel drops it with the process, so that a holder killed with -9 never counts.
Starting and stopping happen under a second, exclusive lock, so that no server stops while somebody is about to hold it.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from apps.ops.servers import identity, places, running
from apps.ops.servers.errors import ServersUnavailable
from apps.ops.servers.identity import Identity
from apps.ops.servers.places import Place
from apps.ops.servers.postgres import Postgres
from apps.ops.servers.running import Server
from apps.ops.servers.valkey import Valkey

VARIABLES = {"postgresql": "DATABASE_URL", "redis": "REDIS_URL"}
EMBEDDED = "TRADINGSITE_EMBEDDED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the servers are, a few words on each for people, and which of them are ours (`postgresql`, `redis`)."""

    database_url: str
    redis_url: str
    postgresql: str
    redis: str
    embedded: tuple[str, ...] = ()


@contextlib.contextmanager
def hold(state: Path | None = None) -> Iterator[Addresses]:
    """Start or adopt each server the environment does not name, export the addresses to it, and release at the end."""
    wanted = tuple(name for name, variable in VARIABLES.items() if not _is_named(os.environ.get(variable, "")))
    if not wanted:
        yield _addresses((), {})
        return
    with lease(state, wanted) as addresses, _exported(addresses, places.state_directory(state)):
        yield addresses


@contextlib.contextmanager
def lease(state: Path | None = None, wanted: Sequence[str] = tuple(VARIABLES)) -> Iterator[Addresses]:
    """Like `hold`, but for exactly the wanted servers, reading and changing no address in the environment."""
    place = places.settle(state)
    holders = _open_lock(place, "servers.holders")
    owner = os.getpid()
    try:
        with _starting(place):
            alone = _try_lock(holders)
            fcntl.flock(holders, fcntl.LOCK_SH)
            servers = _servers(place, wanted, alone=alone)
            versions = running.ensure_all(servers)
        yield _addresses(servers, versions)
    finally:
        if os.getpid() == owner:  # a forked child that unwinds this far must not end its parent's servers
            _release(place, holders)


def alive(name: str, state: Path | None = None) -> bool:
    """Say within a millisecond whether the process of an embedded server runs (not whether it answers)."""
    return pid(name, state) is not None


def answers(name: str, state: Path | None = None) -> bool:
    """Say whether an embedded server runs and answers with our password; waits 2 seconds at most."""
    server = _known(name, state)
    return server is not None and server.pid() is not None and server.ask() is not None


def pid(name: str, state: Path | None = None) -> int | None:
    """Return the pid of an embedded server that runs, else None."""
    server = _known(name, state)
    return server.pid() if server is not None else None


def revive(name: str, state: Path | None = None) -> str:
    """Start a held server again after it died, with the port, password and data it had; returns its version."""
    place = places.settle(state)
    with _starting(place):
        return running.ensure(_server(place, identity.establish(place), name))


def _release(place: Place, holders: int) -> None:
    try:
        with _starting(place):
            mine = identity.recall(place)
            if mine is not None and _try_lock(holders):
                running.stop_all([_server(place, mine, name) for name in VARIABLES])
            # Said aloud because forked children share this lock: closing our copy alone would keep it held.
            fcntl.flock(holders, fcntl.LOCK_UN)
    finally:
        os.close(holders)


@contextlib.contextmanager
def _starting(place: Place) -> Iterator[None]:
    lock = _open_lock(place, "servers.starting")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _open_lock(place: Place, name: str) -> int:
    path = place.home / name
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        place.keep(path)
    except OSError as error:
        raise ServersUnavailable(
            f"{path} cannot be opened ({error.strerror}): the state directory belongs to another user. Start as its "
            "owner, or set TRADINGSITE_VAR to a directory of your own."
        ) from None
    return lock


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _known(name: str, state: Path | None) -> Server | None:
    path = places.state_directory(state)
    if not path.is_dir():
        return None
    place = places.settle(path)
    found = identity.recall(place)
    return _server(place, found, name) if found is not None else None


def _server(place: Place, mine: Identity, name: str) -> Server:
    if name == "redis":
        return Valkey(place=place, port=mine.ports[name], password=mine.redis)
    return Postgres(place=place, port=mine.ports[name], password=mine.app, superuser_password=mine.superuser)


def _servers(place: Place, wanted: Sequence[str], *, alone: bool) -> list[Server]:
    mine = identity.establish(place)
    for name in wanted:
        server = _server(place, mine, name)
        # Nobody else has the address yet, so a port that somebody took in the meantime can still be exchanged.
        if alone and not identity.is_free(server.port) and server.pid() is None and not server.occupied():
            mine = identity.move(place, mine, name)
    return [_server(place, mine, name) for name in wanted]


def _addresses(servers: Sequence[Server], versions: Mapping[str, str]) -> Addresses:
    urls = {name: os.environ.get(variable, "") for name, variable in VARIABLES.items()}
    words = {name: f"{_netloc(url)} ({VARIABLES[name]})" for name, url in urls.items()}
    for server in servers:
        urls[server.name] = server.url
        words[server.name] = f"{versions[server.name]} (embedded)"
    return Addresses(
        database_url=urls["postgresql"],
        redis_url=urls["redis"],
        postgresql=words["postgresql"],
        redis=words["redis"],
        embedded=tuple(server.name for server in servers),
    )


def _netloc(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _is_named(url: str) -> bool:
    """Say whether an operator named this server; what a parent process with embedded servers exported does not."""
    return bool(url) and _netloc(url) not in os.environ.get(EMBEDDED, "").split()


@contextlib.contextmanager
def _exported(addresses: Addresses, state: Path) -> Iterator[None]:
    ours = {"postgresql": addresses.database_url, "redis": addresses.redis_url}
    urls = {VARIABLES[name]: ours[name] for name in addresses.embedded}
    hosts = " ".join(_netloc(url) for url in urls.values())
    values = {**urls, EMBEDDED: hosts, "TRADINGSITE_VAR": str(state)}
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
