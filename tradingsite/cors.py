"""What pages of other sites may ask of the API, once CORS_ALLOWED_ORIGINS names them; nobody's may by default."""

import re
from collections.abc import Iterable
from typing import Final

from tradingsite.environment import ConfigurationError

CORS_URLS_REGEX: Final = r"^/api/"
CORS_ALLOW_METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST")
CORS_ALLOW_HEADERS: Final = (
    "accept",
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "x-csrftoken",
)
CORS_EXPOSE_HEADERS: Final = (
    "ETag",
    "Location",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
)
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")


def read_origins(names: Iterable[str]) -> list[str]:
    """Return the origins that may ask; raises ConfigurationError for what is none, a star among them."""
    found = list(names)
    for name in found:
        if not _ORIGIN.fullmatch(name):
            raise ConfigurationError(
                f"CORS_ALLOWED_ORIGINS names {name!r}, which is no origin: write it like https://desk.example, "
                "without a path; there is no name for all."
            )
    return found
