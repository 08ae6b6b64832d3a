"""The one place in a web process that knows all sockets: takes in what the follower read and hands it out.

No Redis means no doorbell and quotes once a second from their table: later, never lost.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from django.db import Error, close_old_connections, connections

from apps.web.gateway import candles, fills, grants, messages, quotes, topics
from apps.web.gateway.candles import Candles
from apps.web.gateway.connection import GOING_AWAY, UNAUTHENTICATED, Connection
from apps.web.gateway.doorbell import Doorbell
from apps.web.gateway.follower import Follower, Found
from apps.web.gateway.grants import Credential, Rights
from apps.web.gateway.messages import BadMessage, Quoted
from apps.web.gateway.outbox import Outbox
from apps.web.gateway.pacer import Pacer
from apps.web.gateway.place import Place
from apps.web.gateway.tail import Fact

ROUND = 1.0  # seconds between two looks at candles, and at who reads
RECHECK = 2  # rounds between two looks at who may still see what
SOCKETS_PER_USER = 20  # in one web process
SOCKETS = 2000  # of all users, in one web process
SYMBOLS_EVERY = 1.0  # seconds between two looks for instruments that are new
THREADS = 4
PATIENCE = 5.0  # seconds the database may take before a new socket is sent away
TROUBLE = 1011
T = TypeVar("T")
log = logging.getLogger(__name__)


class Hub:
    """Follows and hands out. Started and stopped on the event loop it serves."""

    def __init__(self, redis_url: str) -> None:
        self.place = Place(0)
        self.quotes: dict[str, Quoted] = {}
        self.quotes_at = 0.0
        self.asked = 0  # how often somebody wanted to know that everything committed so far was read
        self.credentials: frozenset[Credential] = frozenset()
        self._redis_url = redis_url
        self._symbols: frozenset[str] = frozenset()
        self._symbols_at = -SYMBOLS_EVERY
        self._connections: set[Connection] = set()
        self._watched: Counter[str] = Counter()  # channel -> sockets
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._renewals = 0  # how often rights were read anew because of a new account
        self._candles = Candles()
        self._pacer = Pacer()
        self._rounds: asyncio.Task[None] | None = None

    # --- From start to end ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to follow; a second call does nothing."""
        if self._rounds is not None:
            return
        loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="gateway-database")
        self._follower = Follower(self, loop.call_soon_threadsafe)
        self._doorbell = Doorbell(self._redis_url, self._follower.ring, self.take_quotes)
        self._rounds = loop.create_task(self._go_round())
        self._rounds.add_done_callback(self._round_ended)
        self._follower.start()
        self._doorbell.start()

    async def stop(self) -> None:
        """Say goodbye to every socket and stop following."""
        if self._rounds is None:
            return
        self._cut_all(GOING_AWAY, "the server is going away; connect again")
        self._rounds.cancel()
        await self._doorbell.stop()
        await asyncio.to_thread(self._follower.stop)
        await asyncio.to_thread(self._pool.shutdown)

    def admit(self, connection: Connection) -> None:
        """Take a socket in. Raises BadMessage when there are too many."""
        name = connection.rights.name
        remedy = "close one, or subscribe to more on one"
        if len(self._connections) >= SOCKETS:
            rule = f"this process has {SOCKETS} open already"
            raise BadMessage("too_many_sockets", field="sockets", value=name, rule=rule, remedy="try again later")
        users = Counter(other.rights.user_id for other in self._connections)
        if users[connection.rights.user_id] >= SOCKETS_PER_USER:
            rule = f"has {SOCKETS_PER_USER} open already"
            raise BadMessage("too_many_sockets", field="sockets", value=name, rule=rule, remedy=remedy)
        self._connections.add(connection)
        self._know_credentials()

    async def join(self, connection: Connection) -> bool:
        """Bring a socket that was admitted to the present; False when the database does not answer."""
        if not await self.caught_up():
            return False
        seen = -1
        while seen != self._renewals:  # an account that came up meanwhile may be this person's
            seen = self._renewals
            try:
                self._renew(await self.in_database(partial(_rights_of, [connection.credential])))
            except Error:
                return False
        return True

    def leave(self, connection: Connection) -> None:
        """Forget a socket."""
        self._connections.discard(connection)
        self._note(connection, frozenset())
        self._know_credentials()

    # --- What connections ask ---------------------------------------------------------------------------------------

    def hurry(self, outbox: Outbox) -> None:
        """Let the prices of an outbox go when it is its turn."""
        self._pacer.take(outbox)

    def is_watched(self, channel: str) -> bool:
        """Say whether some socket has subscribed to a channel."""
        return self._watched[channel] > 0

    async def watch(self, connection: Connection, channels: frozenset[str]) -> None:
        """Note which channels a socket wants from now on; returns when what comes is fit for them."""
        added = channels - connection.watched
        self._note(connection, channels)
        if topics.FILLS in added:
            await self.caught_up()  # what was read before has no fills with it

    def _note(self, connection: Connection, channels: frozenset[str]) -> None:
        self._watched.subtract(connection.watched)
        self._watched.update(channels)
        connection.watched = channels

    def prices(self, channels: frozenset[str]) -> Iterable[tuple[str, str]]:
        """Return the present prices and candles of some channels, each with its name."""
        for symbol, quote in self.quotes.items():
            if topics.wants_quote(symbol, channels):
                yield symbol, _quote_text(symbol, quote)
        for channel in channels:
            if channel.startswith(topics.CANDLES_OF):
                for message in self._candles.present(topics.symbol_of(channel) or ""):
                    yield message.name, message.text

    async def fills_of(self, facts: list[Fact]) -> dict[int, str]:
        """Return the fills that events are about, as JSON text."""
        return await self.in_database(partial(fills.about, facts))

    async def knows(self, symbol: str) -> bool:
        """Say whether there is an instrument of that symbol; new ones are looked for in the database once a second."""
        now = time.monotonic()
        if symbol not in self._symbols and now - self._symbols_at >= SYMBOLS_EVERY:
            self._symbols_at = now
            self._symbols = await self.in_database(quotes.symbols)
        return symbol in self._symbols

    async def in_database(self, ask: Callable[[], T]) -> T:
        """Run a function that reads the database on a thread of the gateway's own."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, _with_connection, ask)

    async def caught_up(self) -> bool:
        """Wait until everything committed before this call was handed out; False when the database does not answer."""
        self.asked += 1
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self.asked, done))
        self._follower.ring()
        try:
            async with asyncio.timeout(PATIENCE):
                await done
        except TimeoutError:
            return False
        return True

    # --- Handing out ------------------------------------------------------------------------------------------------

    def take(self, found: Found) -> None:
        """Hand out what the follower read."""
        if found.rights is not None:
            self._renewals += 1
            self._renew(found.rights)
        for delivery in found.deliveries:
            for connection in self._connections:
                connection.offer(delivery)
        self.place = found.place
        for number, done in self._waiting:
            if number <= found.asked and not done.done():
                done.set_result(None)
        self._waiting = [(number, done) for number, done in self._waiting if not done.done()]

    def take_quotes(self, items: list[Quoted]) -> None:
        """Hand out the latest quotes; those that say nothing new are dropped."""
        self.quotes_at = time.monotonic()
        for item in items:
            symbol = item.instrument
            if self.quotes.get(symbol) == item:
                continue
            self.quotes[symbol] = item
            text = _quote_text(symbol, item)
            channel = f"{topics.QUOTES_OF}{symbol}"
            for connection in self._connections:
                if channel in connection.channels or topics.QUOTES in connection.channels:
                    connection.offer_price(symbol, text)

    def _renew(self, rights: dict[Credential, Rights | None]) -> None:
        for connection in self._connections:
            if connection.credential in rights:
                now = rights[connection.credential]
                if now is None:
                    connection.cut(UNAUTHENTICATED, "the token or session is no longer valid")
                else:
                    connection.rights = now

    # --- Once a second ----------------------------------------------------------------------------------------------

    async def _go_round(self) -> None:
        count = 0
        while True:
            await asyncio.sleep(ROUND)
            count += 1
            now = asyncio.get_running_loop().time()
            for connection in self._connections:
                connection.cut_if_stalled(now)
            try:
                if count % RECHECK == 0 and self.credentials:
                    await self._recheck()
                await self._show_candles()
            except Error as error:
                log.warning("Rights and candles cannot be read, trying again: %s", str(error).strip())

    def _round_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            return
        # Nobody would look at rights any more: better no sockets than those of people who lost theirs.
        log.critical("The rounds of the gateway ended; all sockets are closed", exc_info=task.exception())
        self._cut_all(TROUBLE, "the server has a fault; connect again")
        self._rounds = asyncio.get_running_loop().create_task(self._go_round())
        self._rounds.add_done_callback(self._round_ended)

    async def _recheck(self) -> None:
        seen = self._renewals
        rights = await self.in_database(partial(_rights_of, self.credentials))
        if seen == self._renewals:  # else what was read may lack the account that came up; the next round sees it
            self._renew(rights)

    async def _show_candles(self) -> None:
        wanted = [channel for channel in +self._watched if channel.startswith(topics.CANDLES_OF)]
        symbols = [symbol for channel in wanted if (symbol := topics.symbol_of(channel))]
        found = await self.in_database(partial(candles.look, symbols, datetime.now(UTC))) if symbols else {}
        for message in self._candles.changed(found):
            for connection in self._connections:
                if message.channel in connection.channels:
                    connection.offer_price(message.name, message.text)

    def _know_credentials(self) -> None:
        self.credentials = frozenset(connection.credential for connection in self._connections)

    def _cut_all(self, code: int, reason: str) -> None:
        for connection in self._connections:
            connection.cut(code, reason)


def _rights_of(credentials: Collection[Credential]) -> dict[Credential, Rights | None]:
    return grants.rights_of(credentials, datetime.now(UTC))


def _quote_text(symbol: str, quote: Quoted) -> str:
    return messages.write(type="quote", channel=f"{topics.QUOTES_OF}{symbol}", data=quote)


def _with_connection(ask: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return ask()
    except Error:
        connections.close_all()
        raise
