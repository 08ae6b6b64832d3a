"""Which web pages may open a socket, decided from the Origin that browsers send and programs usually do not."""

from collections.abc import Sequence
from enum import Enum
from urllib.parse import urlsplit

from django.http.request import split_domain_port, validate_host


class Origin(Enum):
    """How far a handshake's Origin is trusted."""

    FOREIGN = "foreign"  # another site's page: the handshake is refused
    HOST = "host"  # no page, or a page of an allowed host on another port: a token is needed
    OWN = "own"  # a page of this very site: its session cookie counts


def judge(origin: str | None, host: str, allowed: Sequence[str], trusted: Sequence[str]) -> Origin:
    """Judge an Origin header against the Host header, ALLOWED_HOSTS and CSRF_TRUSTED_ORIGINS.

    Cookies do not know ports, so a session counts only for a page of the same host and port (as Django's own CSRF
    check has it), or one named as trusted.
    """
    if not validate_host(split_domain_port(host)[0], list(allowed)):
        return Origin.FOREIGN
    if origin is None:
        return Origin.HOST
    if origin in trusted:
        return Origin.OWN
    try:
        parts = urlsplit(origin)
    except ValueError:
        return Origin.FOREIGN
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        return Origin.FOREIGN
    if _with_port(parts.netloc.lower(), parts.scheme) == _with_port(host.lower(), parts.scheme):
        return Origin.OWN
    name = split_domain_port(parts.netloc)[0]
    return Origin.HOST if validate_host(name, list(allowed)) else Origin.FOREIGN


def _with_port(netloc: str, scheme: str) -> str:
    domain, port = split_domain_port(netloc)
    return f"{domain}:{port or ('443' if scheme == 'https' else '80')}"
