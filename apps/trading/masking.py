"""Keeps secrets out of what is written down: every secret this process opens is masked in logs and sentences.

A venue may echo a request in its error, headers and all; what it says passes through `mask` before it is stored, and
everything that is logged passes through `SecretsFilter`.
"""

import base64
import html
import json
import logging
import re
from collections.abc import Iterable
from functools import cache
from threading import Lock
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK: Final = "[secret]"
SHORTEST: Final = 6  # shorter ones would mask ordinary words
_FORMAT: Final = logging.Formatter()
_guard = Lock()
_known: set[str] = set()


def register(*secrets: str) -> None:
    """Mask these from now on, in the spellings in which they travel. They stay known while the process lives."""
    spelled = {form for secret in secrets for form in _spellings(secret) if len(form) >= SHORTEST}
    with _guard:
        if not spelled <= _known:
            _known.update(spelled)
            _pattern.cache_clear()


def mask(text: str) -> str:
    """Return the text with every known secret replaced."""
    pattern = _pattern()
    return text if pattern is None else pattern.sub(MASK, text)


class SecretsFilter(logging.Filter):
    """Masks known secrets in a record: message, traceback, stack, and what was added to it by name."""

    def __init__(self, secrets: Iterable[str] = (), urls: Iterable[str] = ()) -> None:
        """Know some secrets from the start, and the passwords of some addresses."""
        super().__init__()
        register(*secrets, *(word for url in urls for word in _passwords(url)))

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, masked."""
        if _pattern() is None:
            return True
        record.msg, record.args = _said(record), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = _FORMAT.formatException(record.exc_info)
        for name, value in vars(record).items():
            if isinstance(value, str):
                setattr(record, name, mask(value))
        return True


def _said(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # words and values do not fit: no reason to stop whoever wanted to log
        return f"{record.msg} {record.args}"


def _passwords(url: str) -> list[str]:
    """Return the password of an address as it is written and as it is meant, unless it is an ordinary word."""
    found = urlsplit(url).password or ""
    return [found, unquote(found)] if len(found) >= 2 * SHORTEST else []


def _spellings(secret: str) -> Iterable[str]:
    """Return how a secret may be written: as it is, in an address, in JSON or source, in base64, line by line."""
    whole = secret.strip()
    lines = [line for line in whole.splitlines() if len(line) > SHORTEST and not line.startswith("-----")]
    for part in {whole, *lines}:
        yield part
        yield quote(part, safe="")
        yield quote_plus(part)
        yield json.dumps(part)[1:-1]
        yield repr(part)[1:-1]
        yield html.escape(part)
        yield base64.b64encode(part.encode()).decode().rstrip("=")


@cache
def _pattern() -> "re.Pattern[str] | None":
    # The longest first: a secret that begins with another one is to be masked as a whole.
    with _guard:
        words: list[Any] = sorted(_known, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, words))) if words else None
