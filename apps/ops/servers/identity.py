"""What makes our servers ours: the passwords and ports chosen once per state directory and remembered there."""

import json
import random
import secrets
import socket
from dataclasses import dataclass, replace

from apps.ops.servers.errors import ServersUnavailable
from apps.ops.servers.places import Place

HOST = "127.0.0.1"
PORTS = range(20_000, 30_000)  # below the range that outgoing connections use, so that a remembered port stays free
PASSWORDS = "secrets.json"
REMEMBERED = "ports.json"
SERVERS = ("postgresql", "redis")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Passwords of the site's role, of PostgreSQL's superuser and of Redis, and the port of each server."""

    app: str
    superuser: str
    redis: str
    ports: dict[str, int]


def recall(place: Place) -> Identity | None:
    """Return what was chosen for this place, or None when nothing was (or not all of it)."""
    words, ports = place.read_json(PASSWORDS), place.read_json(REMEMBERED)
    if not {"app", "superuser", "redis"} <= words.keys() or not set(SERVERS) <= ports.keys():
        return None
    numbers = {name: int(ports[name]) for name in SERVERS}
    return Identity(app=words["app"], superuser=words["superuser"], redis=words["redis"], ports=numbers)


def establish(place: Place) -> Identity:
    """Return what was chosen for this place, choosing now what is missing; call it under the starting lock."""
    found = recall(place)
    if found is not None:
        return found
    if not place.read_json(PASSWORDS):
        if (place.home / "postgres" / "PG_VERSION").exists():
            raise ServersUnavailable(
                f"{place.home / PASSWORDS} is missing or damaged, but {place.home / 'postgres'} holds data that only "
                "its passwords open: restore that file from a backup, or move the directory away to start empty."
            )
        words = {name: secrets.token_urlsafe(24) for name in ("app", "superuser", "redis")}
        place.write_private(PASSWORDS, json.dumps(words))
    if not set(SERVERS) <= place.read_json(REMEMBERED).keys():
        _remember(place, {name: _free_port() for name in SERVERS})
    again = recall(place)
    if again is None:
        raise ServersUnavailable(f"{place.home / PASSWORDS} lacks a password: restore it from a backup.")
    return again


def move(place: Place, identity: Identity, name: str) -> Identity:
    """Choose another port for a server that is not running, and remember it."""
    ports = {**identity.ports, name: _free_port()}
    _remember(place, ports)
    return replace(identity, ports=ports)


def is_free(port: int) -> bool:
    """Say whether nobody listens on this loopback port."""
    with socket.socket() as probe:
        # As the servers do: connections of an earlier server that linger in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _remember(place: Place, ports: dict[str, int]) -> None:
    place.write_private(REMEMBERED, json.dumps(ports))


def _free_port() -> int:
    for port in random.sample(PORTS, k=200):
        if is_free(port):
            return port
    raise ServersUnavailable(f"No free port was found on {HOST} from {PORTS.start} to {PORTS.stop - 1}: free some.")
