"""How a process follows the live configuration: it reads what is new with each sign of life, and says what it runs.

Values are set on Django's settings, where all code reads them. What environment or file name stays as they say. The
processes of a worker's pool look at a board in shared memory before each task, which costs them no query.
"""

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError

from apps.ops.configuration import services
from apps.ops.configuration.board import Board
from apps.ops.configuration.options import BY_NAME, OPTIONS, Value, WrongValue

FACT: Final = "configuration"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _State:
    """What this process runs: the version, what it would run without any, and the board it shares with children."""

    version: int = 0
    base: dict[str, Value] = field(default_factory=dict)
    board: Board | None = None


_state = _State()
_applying = threading.RLock()


def told(_now: datetime) -> dict[str, Any]:
    """Look for a newer version, apply it, and return what a sign of life says; asked again when nobody answers."""
    try:
        follow()
    except DatabaseError as error:
        log.warning("the configuration could not be read: %s", str(error).strip())
    return {FACT: _state.version}


def follow() -> int:
    """Apply the version in force and return its number; one query, and nothing else when nothing is new."""
    row = services.newest()
    number = row.version if row else 0
    if number != _state.version:
        apply(number, row.chosen if row else {})
    return _state.version


def share() -> None:
    """Make the board that processes forked from now on look at."""
    _state.board = Board()
    _state.board.post(_state.version, "{}")


def catch_up() -> None:
    """Apply what the parent process has posted on the board; nothing but a look at memory when nothing is new."""
    if _state.board is None or _state.board.version in (_state.version, 0):
        return
    posted = _state.board.read()
    if posted is not None and posted[0] != _state.version:
        apply(posted[0], json.loads(posted[1]))


def apply(number: int, chosen: Mapping[str, str]) -> None:
    """Let all code of this process read these values from now on."""
    with _applying:
        if not _state.base:
            _state.base = {option.name: option.now() for option in OPTIONS}
        for name, value in {**_state.base, **_readable(chosen)}.items():
            BY_NAME[name].put(value)
        logging.getLogger().setLevel(settings.LOG_LEVEL)
        _state.version = number
        if _state.board is not None:
            _state.board.post(number, json.dumps(dict(chosen)))
    log.info("configuration version %d is in force here", number)


def version() -> int:
    """Return the version that this process runs."""
    return _state.version


def _readable(chosen: Mapping[str, str]) -> dict[str, Value]:
    """Return the values that this code understands; an option of newer code is none of ours."""
    found = {}
    for name, text in chosen.items():
        if name in settings.PINNED or name not in BY_NAME:
            continue
        try:
            found[name] = BY_NAME[name].read(text)
        except WrongValue as error:
            log.warning("configuration: %s=%r is not allowed here: %s", name, text, error)
    return found
