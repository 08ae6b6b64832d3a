"""How a feed reaches its venue: a socket of our own below websocket-client, so that any phase can be interrupted."""

import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import websocket

RECEIVE_BUFFER = 4 << 20  # a second of the recorded peak is about 1 MB

_SCHEMES = {"ws": 80, "wss": 443}
_RMEM_MAX = Path("/proc/sys/net/core/rmem_max")


class BadAddress(ValueError):
    """An address is no WebSocket address; the sentence says what one looks like."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a WebSocket address leads."""

    host: str
    port: int
    is_secure: bool


def parse(url: str) -> Address:
    """Return where a ws:// or wss:// address leads. Raises BadAddress."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadAddress(f"{url!r}: {error}") from error
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise BadAddress(f"{url!r} is no feed address; write it like 'wss://host' or 'ws://127.0.0.1:8765'")
    return Address(host=parts.hostname, port=port or _SCHEMES[parts.scheme], is_secure=parts.scheme == "wss")


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine; such an address never goes through a proxy."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")


def needs_proxy(address: Address) -> bool:
    """Say whether the environment names a proxy for this address."""
    if is_loopback(address.host) or proxy_bypass(address.host):
        return False
    return ("https" if address.is_secure else "http") in getproxies()


def socket_options() -> list[tuple[int, int, int]]:
    """Return the options of a feed's socket.

    A receive buffer set by hand ends the kernel's own tuning, so it is only set where the kernel grants all of it.
    """
    options = list(websocket.DEFAULT_SOCKET_OPTION)  # TCP_NODELAY and keep-alive probes
    if _granted_buffer() >= RECEIVE_BUFFER:
        options.append((socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER))
    return options


def open_socket(address: Address, timeout: float, register: Callable[[socket.socket], None]) -> socket.socket:
    """Connect to the first address that answers, TLS included.

    Each socket is registered before it blocks, so that another thread can shut it down. Raises OSError.
    """
    failure: OSError = OSError(f"{address.host} has no address")
    for family, kind, protocol, _, target in socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            return _connect(connection, target, address, timeout, register)
        except OSError as error:
            connection.close()
            failure = error
    raise failure


def _connect(
    connection: socket.socket,
    target: tuple[Any, ...],
    address: Address,
    timeout: float,
    register: Callable[[socket.socket], None],
) -> socket.socket:
    connection.settimeout(timeout)
    for level, option, value in socket_options():
        connection.setsockopt(level, option, value)
    register(connection)
    connection.connect(target)
    if not address.is_secure:
        return connection
    secure = ssl.create_default_context().wrap_socket(
        connection, server_hostname=address.host, do_handshake_on_connect=False
    )
    try:
        register(secure)
        secure.do_handshake()
    except OSError:
        secure.close()
        raise
    return secure


def cut(connection: socket.socket) -> None:
    """Wake every thread that waits on a socket, at once and without a word to the peer."""
    try:
        # The plain method on purpose: the one of a TLS socket drops the session under the feet of the reader.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return  # it was never connected, or is gone already: nobody waits on it


def _granted_buffer() -> int:
    try:
        return int(_RMEM_MAX.read_text())
    except (OSError, ValueError):
        return RECEIVE_BUFFER  # not Linux: ask and see
