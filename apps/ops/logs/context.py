"""What the present code works for: a request, a task; every line that is logged meanwhile says so.

A request begins with an identifier. It travels with the tasks that are sent meanwhile, and with those that these send.
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Final

REQUEST_ID: Final = "request_id"
_WORD: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_bound: ContextVar[Mapping[str, str]] = ContextVar("logs", default=_NOTHING)


def current() -> Mapping[str, str]:
    """Return what is bound here: request_id, task, task_id."""
    return _bound.get()


def begin(**words: str) -> Token[Mapping[str, str]]:
    """Bind words in place of those before; give the token to `end`."""
    return _bound.set({name: word for name, word in words.items() if word})


def end(token: Token[Mapping[str, str]]) -> None:
    """Bind again what was bound before."""
    _bound.reset(token)


@contextmanager
def bound(**words: str) -> Iterator[None]:
    """Bind words for a while."""
    token = begin(**words)
    try:
        yield
    finally:
        end(token)


def identifier(given: str | None = None) -> str:
    """Return the identifier that somebody gave if it is a plain word, else a new one."""
    return given if given and _WORD.fullmatch(given) else uuid.uuid4().hex
