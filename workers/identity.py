"""How a process names itself in what it writes."""

import os

from django.conf import settings


def of_this_process() -> str:
    """Name this worker process as the drains it writes show it: "worker HOST:PID"."""
    return f"worker {settings.HOST_NAME}:{os.getpid()}"[:120]
