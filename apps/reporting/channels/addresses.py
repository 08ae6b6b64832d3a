"""Where messages may go: an address is looked up once, judged, and the judged one is what is connected to.

Without this, whoever may edit a channel could have the site's own servers ask each other questions. A name is resolved
here and never again by whoever connects, so it cannot lead elsewhere a moment later.
"""

import ipaddress
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings

from apps.domain.errors import Problem
from apps.reporting.channels.base import Undeliverable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An address on the web that was judged: `ip` is what to connect to, `host` what to be called there."""

    secure: bool
    host: str
    port: int
    path: str
    ip: str


def target_of(url: str) -> Target:
    """Look up and judge an address on the web. Raises Undeliverable."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    ip = resolve(parts.hostname or "", port)
    if not secure and not _allowed(ipaddress.ip_address(ip)):
        raise Undeliverable("Only addresses of NOTIFY_ALLOWED_NETWORKS may do without https.", permanent=True)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(secure=secure, host=parts.hostname or "", port=port, path=path, ip=ip)


def resolve(host: str, port: int) -> str:
    """Return an address that a host has, all of them being public or allowed. Raises Undeliverable."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Undeliverable(f"{host} cannot be looked up: {error}") from None
    # One bad address among good ones is how a name is made to lead inside at the second look.
    ips = [str(entry[4][0]) for entry in found]
    bad = [ip for ip in ips if not _permitted(ip)]
    if bad or not ips:
        raise Undeliverable(
            f"{host} leads to {', '.join(bad) or 'nowhere'}, which is not a public address: let "
            "NOTIFY_ALLOWED_NETWORKS name its network if that is meant.",
            permanent=True,
        )
    return ips[0]


def url_problem(field: str, url: str, *, hosts: tuple[str, ...] = ()) -> Problem | None:
    """Say what is wrong with an address as it is written; `hosts` are the only ones it may name, if any are given."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return _problem(field, "is no address on the web", "write it like https://host/path")
    if parts.scheme not in {"https", "http"} or not parts.hostname or not url.isascii() or set(url) & set(' \\"<>'):
        return _problem(field, "is no address on the web", "write it like https://host/path")
    if parts.username is not None or parts.password is not None or parts.fragment:
        return _problem(field, "names a user or a fragment", "leave them away")
    if port == 0:
        return _problem(field, "names no port that can be connected to", "leave it away or name another")
    inside = _is_allowed_literal(parts.hostname)
    if parts.scheme == "http" and not inside:
        return _problem(field, "is not https", "use https; http is for addresses of NOTIFY_ALLOWED_NETWORKS")
    if hosts and parts.hostname not in hosts and not inside:
        return _problem(field, f"is not an address of {' or '.join(hosts)}", "copy it from the provider's page")
    return None


def _is_allowed_literal(host: str) -> bool:
    try:
        return _allowed(ipaddress.ip_address(host))
    except ValueError:
        return False


def _permitted(text: str) -> bool:
    ip = _inner(ipaddress.ip_address(text.partition("%")[0]))
    return _allowed(ip) or (ip.is_global and not ip.is_multicast and not ip.is_reserved)


def _inner(ip: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or ip


def _allowed(ip: Address) -> bool:
    return any(ip in ipaddress.ip_network(network) for network in settings.NOTIFY_ALLOWED_NETWORKS)


def _problem(field: str, rule: str, remedy: str) -> Problem:
    return Problem(field=field, value="what was entered", rule=rule, remedy=remedy)
