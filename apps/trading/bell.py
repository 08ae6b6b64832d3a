"""The port through which services ring for a worker after a commit; the wiring says how it rings."""

from collections.abc import Callable

from django.db import transaction


def _silent() -> None:
    """Ring nobody: without wiring the sweeper finds the work by itself."""


_ring: Callable[[], None] = _silent


def install(ring: Callable[[], None]) -> None:
    """Say how this process rings for a worker; called once by its wiring."""
    global _ring  # noqa: PLW0603 - one port per process, set before any work
    _ring = ring


def ring_after_commit() -> None:
    """Ring once the present transaction is committed; a ring that fails is made up for by the sweeper."""
    transaction.on_commit(_ring, robust=True)
