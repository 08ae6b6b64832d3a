"""Letting prices go a few sockets at a time, so that an event waits for a few of them and never for all."""

import asyncio
from collections import deque

from apps.web.gateway.outbox import Outbox

AT_A_TIME = 8


class Pacer:
    """The queue of outboxes whose prices wait. Lives on the event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Outbox] = deque()

    def take(self, outbox: Outbox) -> None:
        """Queue an outbox."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._release)
        self._waiting.append(outbox)

    def _release(self) -> None:
        for _ in range(min(AT_A_TIME, len(self._waiting))):
            self._waiting.popleft().release()
        if self._waiting:
            # The next turn of the loop: whatever else is ready has its turn in between.
            asyncio.get_running_loop().call_soon(self._release)
