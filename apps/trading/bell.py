"""The port through which services call after a commit: a worker for exits, the screens for events."""

from collections.abc import Callable

from django.db import transaction


def _silent() -> None:
    """Call nobody: without wiring the sweeper and the screens find what is new by themselves."""


_ring: Callable[[], None] = _silent
_announce: Callable[[], None] = _silent


def install(*, ring: Callable[[], None], announce: Callable[[], None]) -> None:
    """Say how this process rings for a worker and tells the screens; called once by its wiring."""
    global _ring, _announce
    _ring, _announce = ring, announce


def ring_after_commit() -> None:
    """Ring once the present transaction is committed; a ring that fails is made up for by the sweeper."""
    transaction.on_commit(_ring, robust=True)


def announce_after_commit() -> None:
    """Tell the screens once the present transaction is committed; they look by themselves a little later."""
    transaction.on_commit(_announce, robust=True)
