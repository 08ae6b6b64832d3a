"""How far a search is: a bar for a person, a line now and then for a log."""

import time
from types import TracebackType
from typing import Any, Final, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from apps.backtests.models import Study
from apps.backtests.services import sweeps

SAYS_EVERY: Final = 10.0  # seconds, where nobody looks at a bar
LONELY_AFTER: Final = 5.0  # seconds without any worker, then a person is told
_COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeRemainingColumn(),
    TextColumn("{task.fields[note]}"),
)


class Following:
    """Shows the present state whenever it is told to."""

    def __init__(self, study: Study, stream: TextIO) -> None:
        self._console = Console(file=stream)
        self._progress = Progress(*_COLUMNS, console=self._console, disable=not self._console.is_terminal)
        name = f"{study.plugin} {study.search}"
        self._total = sweeps.expected(study)
        self._task = self._progress.add_task(name, total=self._total, note="")
        self._name = f"search {study.pk}: {name}"
        self._said_at = self._moved_at = time.monotonic()
        self._settled = -1
        self._lonely = False

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def show(self, found: sweeps.Progress) -> None:
        """Show how far it is."""
        now = time.monotonic()
        if found.settled != self._settled or found.running:
            self._settled, self._moved_at = found.settled, now
        note = _note(found)
        over: dict[str, Any] = {"total": found.total} if found.state != Study.State.RUNNING else {}
        self._progress.update(self._task, completed=found.settled, note=note, **over)
        if not self._console.is_terminal and now - self._said_at >= SAYS_EVERY:
            self._said_at = now
            self._console.print(f"{self._name}: {found.settled} of {self._total} trials {note}".rstrip(), style=None)
        if now - self._moved_at >= LONELY_AFTER and not self._lonely:
            self._lonely = True
            self._console.print("No worker has taken a trial yet: start one (`make run`), or use --inline.")


def _note(found: sweeps.Progress) -> str:
    parts = [(found.running, "computed now"), (found.reused, "known before"), (found.failed, "failed")]
    return ", ".join(f"{count} {what}" for count, what in parts if count)
