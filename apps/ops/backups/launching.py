"""Starting a backup from a task: in a process of its own, which outlives the worker and takes none of its time."""

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Final

from django.conf import settings

from apps.ops.backups import schedule
from apps.ops.backups.models import Kind
from apps.ops.servers.places import REPOSITORY

ARGUMENTS: Final = {Kind.BACKUP: (), Kind.DRILL: ("--drill",)}
LOG_BYTES: Final = 1_000_000
_started: list["subprocess.Popen[bytes]"] = []


def when_due(kind: Kind, *, now: datetime) -> int | None:
    """Start a backup or a drill if its slot still waits for one, and return its pid; None when nothing is due."""
    return begin(kind) if schedule.due(kind, now) else None


def begin(kind: Kind) -> int:
    """Start a backup or a drill and return its pid.

    Its result is a row and an event that it writes itself. Two that are started at once meet at a lock.
    """
    _started[:] = [process for process in _started if process.poll() is None]
    log = Path(settings.VAR) / "log" / f"{kind.value}.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        process = subprocess.Popen(
            [sys.executable, str(REPOSITORY / "manage.py"), "backup", *ARGUMENTS[kind]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=REPOSITORY,
            start_new_session=True,
        )
    _started.append(process)
    return process.pid
