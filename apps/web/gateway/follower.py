"""The thread that reads PostgreSQL for all sockets of a process: the journal by number, quotes while Redis is silent.

It looks every 150 ms, at once when a bell rings, and calls back on the event loop with what it found.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from django.db import Error, close_old_connections, connections

from apps.web.gateway import fills, grants, quotes, topics
from apps.web.gateway.delivery import Delivery
from apps.web.gateway.grants import Credential, Rights
from apps.web.gateway.messages import Quoted
from apps.web.gateway.place import Place
from apps.web.gateway.tail import Fact, Tail

POLL = 0.15  # seconds between two looks at the journal when no bell rings
AFTER_FAILURE = 1.0
BATCH = 500  # half of what may wait for one socket
TAKEN = 2.0  # seconds the loop may take for a batch before the next one is read
log = logging.getLogger(__name__)


class Found(NamedTuple):
    """What one look found, and which requests for a look it answers."""

    deliveries: list[Delivery]
    place: Place
    asked: int
    rights: dict[Credential, Rights | None] | None = None  # read anew, because an account came up for the first time


class Hub(Protocol):
    """What the thread asks of the hub, on the thread, and what it calls on the loop."""

    @property
    def credentials(self) -> Collection[Credential]: ...

    @property
    def asked(self) -> int: ...

    @property
    def quotes_at(self) -> float: ...

    def is_watched(self, channel: str) -> bool: ...

    def take(self, found: Found) -> None: ...

    def take_quotes(self, items: list[Quoted]) -> None: ...


class Follower:
    """Follows from `start` to `stop`. `ring` makes it look at once."""

    def __init__(self, hub: Hub, call_on_loop: Callable[..., Any]) -> None:
        self._hub = hub
        self._call = call_on_loop
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._read: list[Fact] = []  # and not handed out yet: a failure in between loses none
        self._met: set[int] = set()  # accounts whose events came up since somebody listens
        self._thread = threading.Thread(target=self._follow, name="gateway-tail", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def ring(self) -> None:
        """Look at once."""
        self._bell.set()

    def stop(self) -> None:
        """Stop following; waits for the look under way."""
        self._stopping.set()
        self._bell.set()
        self._thread.join()

    def _follow(self) -> None:
        tail, wait = Tail(), POLL
        while not self._stopping.is_set():
            try:
                wait = 0.0 if self._look(tail) else POLL
            except Error as error:
                log.warning("The journal cannot be read, trying again: %s", str(error).strip())
                connections.close_all()
                wait = AFTER_FAILURE
            self._bell.wait(wait)
            self._bell.clear()
        connections.close_all()

    def _look(self, tail: Tail) -> bool:
        """Look once; return whether there is more."""
        asked = self._hub.asked
        if not self._hub.credentials:
            tail.forget()  # nobody listens: reading what happens would only cost
            self._read = []
            return False
        close_old_connections()
        self._read += tail.poll(time.monotonic(), BATCH)
        facts = self._read
        told = fills.about(facts) if self._hub.is_watched(topics.FILLS) else {}
        deliveries = [Delivery(fact, told.get(fact.id)) for fact in facts]
        self._call(self._hub.take, Found(deliveries, tail.place, asked, self._rights_for(facts)))
        self._read = []
        if time.monotonic() - self._hub.quotes_at > quotes.SILENCE:
            self._call(self._hub.take_quotes, quotes.stored())
        if len(facts) < BATCH:
            return False
        taken = threading.Event()
        self._call(taken.set)  # after what was handed out: sockets have sent it on before more comes
        taken.wait(TAKEN)
        return True

    def _rights_for(self, facts: list[Fact]) -> dict[Credential, Rights | None] | None:
        """Read the rights again before events of an account that is new: it may have been opened a moment ago."""
        met = {fact.account_id for fact in facts if fact.account_id is not None} - self._met
        if not met:
            return None
        found = grants.rights_of(self._hub.credentials, datetime.now(UTC))
        self._met |= met
        return found
