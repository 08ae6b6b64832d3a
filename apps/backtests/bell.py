"""The port through which services call a worker after a commit; the row is the truth, a lost call is repeated."""

from collections.abc import Callable
from functools import partial
from typing import Final

from django.db import transaction

RUN: Final = "backtests.run"


def _silent(task: str, row_id: int) -> None:
    """Call nobody: without wiring, the timetable's `backtests.requeue` finds what waits within a minute."""


_installed: list[Callable[[str, int], None]] = [_silent]


def install(call: Callable[[str, int], None]) -> None:
    """Say how this process sends a task with the id of its row; called once by its wiring."""
    _installed[:] = [call]


def call_after_commit(task: str, row_id: int) -> None:
    """Send a task once the present transaction is committed."""
    transaction.on_commit(partial(_installed[0], task, row_id), robust=True)
