"""Signs of life of whoever computes a run: a thread writes them, and learns when the run is no longer theirs."""

import logging
import threading
from types import TracebackType
from typing import Final, Self

from django.db import Error, connection
from django.db.models.functions import Now

from apps.backtests.models import Run

EVERY: Final = 2.0  # seconds
PATIENCE: Final = 5.0  # seconds for a last statement under way

logger = logging.getLogger(__name__)


class Superseded(Exception):
    """The run was cancelled, or another worker has it: what is being computed is not wanted any more."""


class Beating:
    """Keeps a claimed run alive while the `with` block computes it; `progress` raises Superseded once it is lost."""

    def __init__(self, run_id: int, attempt: int, *, every: float = EVERY) -> None:
        self._run_id, self._attempt, self._every = run_id, attempt, every
        self._told: tuple[float, str] = (0.0, "candles")
        self._lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"run-{run_id}-beats", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(PATIENCE)

    def progress(self, share: float, stage: str) -> None:
        """Say how far it is, 0 to 1; written with the next beat. Raises Superseded."""
        self._told = (min(max(share, 0.0), 1.0), stage)
        if self._lost:
            raise Superseded(f"run {self._run_id} is not computed by this worker any more")

    def _beat(self) -> None:
        try:
            while not self._ended.wait(self._every) and not self._lost:
                self._write()
        finally:
            connection.close()

    def _write(self) -> None:
        share, stage = self._told
        row = Run.objects.filter(pk=self._run_id)
        mine = row.filter(state=Run.State.RUNNING, attempt=self._attempt)
        try:
            if not mine.update(beat_at=Now(), progress=share, stage=stage):
                self._lost = row.exists()
        except Error as error:  # the next beat tries again; after a long silence another worker computes the run
            logger.warning("No sign of life for run %s: %s", self._run_id, error)
            connection.close()
