"""How a line of the log looks: for people, or as one JSON object for programs. Neither can be forged from within.

What is logged may come from a stranger: a line feed in it must not begin what looks like another line, and no control
character may reach a terminal.
"""

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from apps.ops.logs import context, naming
from apps.trading import masking

# Control characters of ASCII and Latin-1, the line separators of Unicode, and what turns the direction of writing.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_USUAL: Final = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}
_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escaped(text: str) -> str:
    """Return the text with every control character written out."""
    return _CONTROL.sub(_written_out, text)


def _written_out(found: "re.Match[str]") -> str:
    sign = found[0]
    return _NAMED.get(sign) or (f"\\x{ord(sign):02x}" if ord(sign) < 0x100 else f"\\u{ord(sign):04x}")


def trace(record: logging.LogRecord) -> str:
    """Return the traceback and stack of a record; empty when it has none."""
    found = record.exc_text or (_PLAIN.formatException(record.exc_info) if record.exc_info else "")
    stack = _PLAIN.formatStack(record.stack_info) if record.stack_info else ""
    return "\n".join(part for part in (found, stack) if part)


_PLAIN: Final = logging.Formatter()


class Friendly(logging.Formatter):
    """One line for a person, what it belongs to at its end; tracebacks below it, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record out."""
        words = " ".join(f"{name}={word}" for name, word in context.current().items())
        line = f"{self._at(record)} {record.levelname} {record.name} {escaped(record.getMessage())}"
        below = "".join(f"\n    {escaped(each)}" for each in trace(record).splitlines())
        return masking.mask(f"{line}{f' [{escaped(words)}]' if words else ''}{below}")

    def _at(self, record: logging.LogRecord) -> str:
        return f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%d %H:%M:%S},{int(record.msecs):03}"


class Json(logging.Formatter):
    """One JSON object a line: at, level, logger, message, process, pid, what it belongs to, what was added by name."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record out; what JSON does not know is written as text."""
        found: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": naming.of_this_process(),
            "pid": record.process,
            **context.current(),
            **_added(record),
        }
        if where := trace(record):
            found["trace"] = where
        return masking.mask(json.dumps(found, default=str))


def _added(record: logging.LogRecord) -> Mapping[str, Any]:
    """Return what whoever logged has added by name; request objects and the like are of no use in a line."""
    plain = (str, int, float, bool, type(None))
    return {name: value for name, value in vars(record).items() if name not in _USUAL and isinstance(value, plain)}
