"""The port through which services call after a commit: a worker for exits or orders, the screens for events."""

from collections.abc import Callable

from django.db import transaction


def _silent() -> None:
    """Call nobody: without wiring the sweeper and the screens find what is new by themselves."""


_ring: Callable[[], None] = _silent
_announce: Callable[[], None] = _silent
_ring_orders: Callable[[], None] = _silent


def install(
    *, ring: Callable[[], None], announce: Callable[[], None], ring_orders: Callable[[], None] = _silent
) -> None:
    """Say how this process rings for a worker and tells the screens; called once by its wiring."""
    global _ring, _announce, _ring_orders
    _ring, _announce, _ring_orders = ring, announce, ring_orders


def ring_after_commit() -> None:
    """Ring once the present transaction is committed; a ring that fails is made up for by the sweeper."""
    transaction.on_commit(_ring, robust=True)


def ring_orders_after_commit() -> None:
    """Have orders sent and taken back once the present transaction is committed; the sweeper makes up for it."""
    transaction.on_commit(_ring_orders, robust=True)


def announce_after_commit() -> None:
    """Tell the screens once the present transaction is committed; they look by themselves a little later."""
    transaction.on_commit(_announce, robust=True)
