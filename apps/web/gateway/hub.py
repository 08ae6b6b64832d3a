"""The one place in a web process that follows the journal and the quotes, and hands them to every socket.

A thread reads PostgreSQL every 150 ms, at once when a doorbell rings; the event loop only hands out what was read. No
Redis means no doorbell and quotes once a second from their table: later, never lost.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.db import Error, close_old_connections, connections

from apps.web.gateway import grants, quotes
from apps.web.gateway.connection import GOING_AWAY, UNAUTHENTICATED, Connection, quote_text
from apps.web.gateway.delivery import Delivery
from apps.web.gateway.doorbell import Doorbell
from apps.web.gateway.grants import Credential, Rights
from apps.web.gateway.messages import BadMessage, Quoted
from apps.web.gateway.tail import Fact, Place, Tail

POLL = 0.15  # seconds between two looks at the journal when no bell rings
BATCH = 2000
RECHECK = 2.0  # seconds between two looks at who may still see what
SOCKETS_PER_USER = 20  # in one web process
THREADS = 4
PATIENCE = 5.0  # seconds the database may take before a new socket is sent away
T = TypeVar("T")
log = logging.getLogger(__name__)


class Hub:
    """Follows and hands out. Started and stopped on the event loop it serves."""

    def __init__(self, redis_url: str) -> None:
        self.place = Place(0, frozenset())
        self._symbols: frozenset[str] = frozenset()
        self.quotes: dict[str, Quoted] = {}
        self._connections: set[Connection] = set()
        self._credentials: frozenset[Credential] = frozenset()
        self._doorbell = Doorbell(redis_url, self._rung, self.take_quotes)
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._met: set[int] = set()  # accounts whose events came up since the rights were read
        self._recheck_at = 0.0
        self._quotes_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = 0  # how often somebody wanted to know that everything committed so far was read
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    async def start(self) -> None:
        """Begin to follow; a second call does nothing."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="gateway-database")
        self._thread = threading.Thread(target=self._follow, name="gateway-tail", daemon=True)
        self._thread.start()
        self._doorbell.start()

    async def stop(self) -> None:
        """Say goodbye to every socket and stop following."""
        if self._loop is None:
            return
        for connection in self._connections:
            connection.cut(GOING_AWAY, "the server is going away; connect again")
        self._stopping.set()
        self._bell.set()
        await self._doorbell.stop()
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._pool.shutdown)

    async def caught_up(self) -> bool:
        """Wait until everything committed before this call was handed out; False when the database does not answer."""
        self._asked += 1
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._asked, done))
        self._bell.set()
        try:
            async with asyncio.timeout(PATIENCE):
                await done
        except TimeoutError:
            return False
        return True

    async def in_database(self, ask: Callable[[], T]) -> T:
        """Run a function that reads the database on a thread of the gateway's own."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, _with_connection, ask)

    async def knows(self, symbol: str) -> bool:
        """Say whether there is an instrument of that symbol; one that is new is looked for in the database."""
        if symbol not in self._symbols:
            self._symbols = await self.in_database(quotes.symbols)
        return symbol in self._symbols

    def admit(self, connection: Connection) -> None:
        """Take a socket in. Raises BadMessage when its user has too many."""
        user_id = connection.rights.user_id
        if Counter(other.rights.user_id for other in self._connections)[user_id] >= SOCKETS_PER_USER:
            rule, remedy = f"has {SOCKETS_PER_USER} open already", "close one, or subscribe to more on one"
            name = connection.rights.name
            raise BadMessage("too_many_sockets", field="sockets", value=name, rule=rule, remedy=remedy)
        self._connections.add(connection)
        self._know_credentials()

    def leave(self, connection: Connection) -> None:
        """Forget a socket."""
        self._connections.discard(connection)
        self._know_credentials()

    def take_quotes(self, items: list[Quoted]) -> None:
        """Hand out the latest quotes; those that say nothing new are dropped."""
        self._quotes_at = time.monotonic()
        for item in items:
            symbol = item.instrument
            if self.quotes.get(symbol) == item:
                continue
            self.quotes[symbol] = item
            text = quote_text(symbol, item)
            for connection in self._connections:
                connection.offer_quote(symbol, text)

    def _know_credentials(self) -> None:
        self._credentials = frozenset(connection.credential for connection in self._connections)

    def _rung(self) -> None:
        self._bell.set()

    # --- On the event loop: hand out what the thread read -----------------------------------------------------------

    def _take(self, facts: list[Fact], place: Place, asked: int) -> None:
        for fact in facts:
            delivery = Delivery(fact, resume=place.resume)
            for connection in self._connections:
                connection.offer(delivery)
        self.place = place
        for number, done in self._waiting:
            if number <= asked and not done.done():
                done.set_result(None)
        self._waiting = [(number, done) for number, done in self._waiting if not done.done()]

    def _renew(self, rights: dict[Credential, Rights | None]) -> None:
        for connection in self._connections:
            if connection.credential in rights:
                now = rights[connection.credential]
                if now is None:
                    connection.cut(UNAUTHENTICATED, "the token or session is no longer valid")
                else:
                    connection.rights = now

    # --- On the thread: read the database ---------------------------------------------------------------------------

    def _follow(self) -> None:
        tail, wait = Tail(), POLL
        while not self._stopping.is_set():
            try:
                full = self._look(tail)
                wait = 0.0 if full else POLL
            except Error as error:
                log.warning("The journal cannot be read, trying again: %s", str(error).strip())
                connections.close_all()
                wait = 1.0
            self._bell.wait(wait)
            self._bell.clear()
        connections.close_all()

    def _look(self, tail: Tail) -> bool:
        close_old_connections()
        if not self._credentials:
            tail.forget()  # nobody listens: reading what happens would only cost
            return False
        clock, asked = time.monotonic(), self._asked
        facts = tail.poll(clock, BATCH)
        met = {fact.account_id for fact in facts if fact.account_id is not None} - self._met
        # An account met for the first time may have been opened a moment ago: look before handing out its events.
        if met or clock >= self._recheck_at:
            self._on_loop(self._renew, self._read_rights())
            self._met |= met
            self._recheck_at = clock + RECHECK
        self._on_loop(self._take, facts, tail.place, asked)
        if clock - self._quotes_at > quotes.SILENCE:
            self._on_loop(self.take_quotes, quotes.stored())
        return len(facts) >= BATCH

    def _read_rights(self) -> dict[Credential, Rights | None]:
        now = datetime.now(UTC)
        return {credential: grants.rights(credential, now) for credential in self._credentials}

    def _on_loop(self, call: Callable[..., None], *values: Any) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(call, *values)


def _with_connection(ask: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return ask()
    except Error:
        connections.close_all()
        raise
