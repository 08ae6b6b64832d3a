"""What the supervisor says: that the site stops and why, before anything is ended, and that a process died."""

from datetime import UTC, datetime
from typing import Final

from django.conf import settings
from django.db import Error, connection

from apps.journal import services as journal
from apps.ops import stopping
from apps.ops.supervisor import Snapshot
from apps.reporting.services import dispatching, sending

SECONDS: Final = 1.5  # of sending messages before the processes are ended
HINT: Final = 300  # signs of a log's last line that are kept


def of_site(started_at: datetime, now: datetime, *, over: bool) -> None:
    """Leave the note for the processes, write the event, and send what is due. Waits two seconds at most."""
    why = stopping.explain(now)
    reason = "the time it was to run is over" if over and not why.signal else why.reason
    stopping.announce(reason, why.who, now)
    payload = {
        "host": settings.HOST_NAME,
        "signal": why.signal,
        "reason": reason,
        "who": why.who,
        "seconds": round((now - started_at).total_seconds()),
    }

    def say() -> None:
        try:
            journal.record("site.stopped", f"site:{settings.HOST_NAME}"[:64], payload=payload, actor=why.who[:150])
            dispatching.dispatch(now)
            if settings.SEND_MESSAGES:
                sending.send_due(_now, seconds=SECONDS)
        except Error as error:
            stopping.log.warning("That the site stops could not be written down: %s", str(error).strip())
        finally:
            connection.close()

    stopping.in_time(say)


def of_child(child: Snapshot) -> None:
    """Write down that a process died and was started again. Raises Error."""
    payload = {"process": child.name, "host": settings.HOST_NAME, "how": child.last_exit[:HINT]}
    journal.record("process.restarted", f"process:{child.name}"[:64], payload={**payload, "restarts": child.restarts})


def _now() -> datetime:
    return datetime.now(UTC)
