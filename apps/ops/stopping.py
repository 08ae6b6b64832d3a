"""Why a process ends: the signal, the reason, and who, as far as that can be known; written down before it is gone.

Whoever stops the whole site leaves a note in the state directory first, so that the processes it then ends can say
more than the name of a signal, and one message goes out instead of a dozen.
"""

import json
import logging
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from getpass import getuser
from pathlib import Path
from types import FrameType
from typing import Any, Final

from django.conf import settings
from django.db import Error, connection

from apps.journal import services as journal

NOTE: Final = "stopping.json"
FRESH: Final = timedelta(seconds=60)
PATIENCE: Final = 2.0  # seconds a dead database may hold up an end
HEEDED: Final = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger(__name__)
_parent: Final = os.getppid()
_caught: list[int] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why something ends: the signal's name, a sentence, who asked ("" when unknown), and whether all of it ends."""

    signal: str
    reason: str
    who: str
    whole: bool = False


def heed(*numbers: int, then: Callable[[], object] | None = None) -> None:
    """Remember the first signal of these, then do what was done so far; `then` takes the place of that.

    Only in the main thread, as Python wants it; elsewhere it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in numbers or HEEDED:
        before = signal.getsignal(number)

        def handler(caught: int, frame: FrameType | None, before: Any = before) -> None:
            _caught.append(caught)
            if then is not None:
                then()
            elif callable(before):
                before(caught, frame)
            elif before == signal.SIG_DFL:
                signal.signal(caught, signal.SIG_DFL)
                os.kill(os.getpid(), caught)

        signal.signal(number, handler)


def caught(name: str) -> None:
    """Remember a signal that somebody else has handled, like Celery, by its name."""
    found = getattr(signal, name, None)
    if isinstance(found, signal.Signals):
        _caught.append(found)


def announce(reason: str, who: str, now: datetime) -> None:
    """Leave the note for the processes that are about to be ended."""
    path = Path(settings.VAR) / NOTE
    fresh = path.with_name(f"{NOTE}.{os.getpid()}")
    fresh.write_text(json.dumps({"reason": reason, "who": who, "at": now.isoformat()}))
    fresh.replace(path)


def forget() -> None:
    """Take the note away: what ends from now on ends for reasons of its own."""
    (Path(settings.VAR) / NOTE).unlink(missing_ok=True)


def explain(now: datetime, failure: str = "") -> Why:
    """Say why this process ends: it failed, the site is being stopped, or somebody sent it a signal."""
    name = signal.Signals(_caught[0]).name if _caught else ""
    if failure:
        return Why(signal=name, reason=failure, who="")
    note = _note(now)
    if note:
        return Why(signal=name, reason=note["reason"], who=note["who"], whole=True)
    if os.getppid() != _parent:
        return Why(signal=name, reason="the process that looked after it is gone", who="")
    if name == "SIGINT":
        return Why(signal=name, reason="Ctrl-C", who=person())
    if name and os.environ.get("INVOCATION_ID"):
        return Why(signal=name, reason="the service manager ended it", who="")
    return Why(signal=name, reason=f"told to end by {name}" if name else "it was done", who="")


def person() -> str:
    """Name who sits at this process, through sudo where it is one."""
    try:
        name = getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    asked = os.environ.get("SUDO_USER", "")
    return f"{asked} as {name}" if asked and asked != name else name


def record(process: str, why: Why, *, started_at: datetime, now: datetime) -> None:
    """Log why a process ends, and write it into the journal unless the whole site ends. Waits two seconds at most."""
    by = f", by {why.who}" if why.who else ""
    log.warning("%s ends after %.0f s: %s%s", process, (now - started_at).total_seconds(), why.reason, by)
    if not why.whole:
        facts = {key: value for key, value in asdict(why).items() if key != "whole"}
        write(process, "process.stopped", {**facts, "seconds": round((now - started_at).total_seconds())}, who=why.who)


def write(process: str, kind: str, facts: dict[str, Any], *, who: str = "") -> None:
    """Write an event in a thread of its own, on a connection of its own. Never raises, waits two seconds at most."""
    payload = {"process": process, "host": settings.HOST_NAME, "pid": os.getpid(), **facts}

    def put() -> None:
        try:
            journal.record(kind, f"process:{process}"[:64], payload=payload, actor=who[:150])
        except Error as error:
            log.warning("That %s could not be written down: %s", kind, str(error).strip())
        finally:
            connection.close()

    in_time(put)


def in_time(act: Callable[[], object]) -> None:
    """Do something at the end of a process, but wait for it two seconds at most."""
    thread = threading.Thread(target=act, name="last words", daemon=True)
    thread.start()
    thread.join(PATIENCE)


def now() -> datetime:
    """Read the clock, for processes that end."""
    return datetime.now(UTC)


def _note(at: datetime) -> dict[str, str]:
    try:
        found = json.loads((Path(settings.VAR) / NOTE).read_text())
        fresh = abs(at - datetime.fromisoformat(found["at"])) < FRESH
        return {"reason": str(found["reason"]), "who": str(found["who"])} if fresh else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
