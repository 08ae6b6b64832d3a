"""Which listener of a shard leads: the holder of the lease writes, the standby evaluates too and waits."""

import threading
from datetime import timedelta

from django.db import Error, connection

from apps.journal import leases
from apps.trading.services.exits import Fence

_HUNG_AFTER = timedelta(seconds=3)  # a busy machine may well keep a thread waiting for one or two
_TRY_EVERY = 0.1
_RENEW_EVERY = 5  # rounds between two renewals


class Leadership:
    """Tries to lead a role, and says whether it does. `run` needs a thread of its own: the lock is its connection's."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.epoch = 0
        self.leads = threading.Event()
        self.usurped = threading.Event()
        self._stopping = threading.Event()
        self._round = 0

    @property
    def fence(self) -> Fence:
        """The role and epoch to write under."""
        return Fence(self.role, self.epoch)

    def run(self) -> None:
        """Try to lead until stopped; give the lock back at the end so that the standby follows at once."""
        while not self._stopping.is_set():
            try:
                self._step()
            except Error:
                self.leads.clear()
                connection.close()
            self._stopping.wait(_TRY_EVERY)
        if self.leads.is_set():
            self.leads.clear()
            connection.close()  # ends the session, and with it the lock

    def stop(self) -> None:
        """Stop leading and stop trying."""
        self._stopping.set()

    def lost(self) -> None:
        """Say that somebody else led: what this process remembers of watermarks is no longer the truth."""
        self.usurped.set()
        self.leads.clear()

    def _step(self) -> None:
        if self.leads.is_set():
            self._round += 1
            if self._round % _RENEW_EVERY == 0 and not leases.renew(self.role, self.epoch):
                self.lost()
            return
        if self._was_followed():
            self.lost()
            return
        epoch = leases.acquire(self.role, hung_after=_HUNG_AFTER)
        if epoch is None:
            return
        if self.epoch and epoch != self.epoch + 1:
            self.lost()
            return
        self.epoch = epoch
        self.leads.set()

    def _was_followed(self) -> bool:
        """Say whether somebody led after this process did.

        Asked before the lock is tried: taking it would raise the epoch, and the one that leads in good order would find
        that it was followed too. Both would end at once, and nobody would watch until one has started again.
        """
        return bool(self.epoch) and leases.epoch(self.role) > self.epoch
