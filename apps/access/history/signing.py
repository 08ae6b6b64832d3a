"""Who is changing settings, by which door, and why: told to PostgreSQL beside each statement that changes one.

A door says who acts (`by`), a form says why (`because`). Statements that write to no table with a history stay as they
are, so that trading pays nothing for it.
"""

import getpass
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from apps.access.history.watched import TABLES

REASON_LENGTH: Final = 300
_WRITES: Final = re.compile(
    rf'\s*(?:INSERT INTO|UPDATE|DELETE FROM)\s+"?({"|".join(sorted(TABLES, key=len, reverse=True))})\b"?', re.IGNORECASE
)
_SIGN: Final = (
    "SELECT set_config('tradingsite.actor', %s, true), set_config('tradingsite.source', %s, true), "
    "set_config('tradingsite.reason', %s, true); "
)
Execute = Callable[[str, Any, bool, dict[str, Any]], Any]


@dataclass(slots=True, kw_only=True)
class Signature:
    """Who acts; the name is asked for only when something is changed, for it may cost a query."""

    actor: Callable[[], str]
    source: str
    reason: str = ""


_present: ContextVar[Signature | None] = ContextVar("who_changes_settings", default=None)


@contextmanager
def by(actor: str | Callable[[], str], *, source: str, reason: str = "") -> Iterator[None]:
    """Say who acts by which door while the block runs."""
    named = actor if callable(actor) else lambda: actor
    token = _present.set(Signature(actor=named, source=source, reason=reason[:REASON_LENGTH]))
    try:
        yield
    finally:
        _present.reset(token)


def because(reason: str) -> None:
    """Say why what follows in the present block is changed."""
    present = _present.get()
    if present is not None:
        present.reason = reason[:REASON_LENGTH]


def on_connection(connection: BaseDatabaseWrapper, **_later: Any) -> None:
    """Sign what a new connection writes."""
    if connection.vendor == "postgresql" and _sign not in connection.execute_wrappers:
        connection.execute_wrappers.append(_sign)


def _sign(execute: Execute, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    if many or not isinstance(sql, str) or _WRITES.match(sql) is None:
        return execute(sql, params, many, context)
    present = _present.get() or _of_process()
    values = (present.actor()[:150], present.source[:64], present.reason)
    # One message with the statement: they are one transaction even where none was begun, and cost no round trip.
    words: bytes = context["cursor"].cursor.mogrify(_SIGN, values)
    told = words.decode()
    return execute((told if params is None else told.replace("%", "%%")) + sql, params, many, context)


@cache
def _of_process() -> Signature:
    """Return who acts where no door said so: whoever started a command, or nobody for a process of the site."""
    name = os.environ.get("PROCESS_NAME", "")
    if name or Path(sys.argv[0]).name != "manage.py" or len(sys.argv) < 2:
        return Signature(actor=lambda: "", source=name or "python")
    command = f"manage.py {sys.argv[1]}"
    return Signature(actor=lambda: f"os:{getpass.getuser()}", source=command)
