"""One socket from its welcome to its end: what the client asks for, and what it is sent."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from apps.web.gateway import messages, tail, topics
from apps.web.gateway.delivery import Delivery
from apps.web.gateway.grants import Credential, Rights
from apps.web.gateway.messages import BadMessage, Inbound, Quoted
from apps.web.gateway.outbox import Outbox, Stalled

PER_SECOND = 20  # messages a client may send in a second
TOO_MANY = 5 * PER_SECOND  # so many, although it was told: the socket is closed
PAGE = 500
GRACE = 5.0  # seconds a closing message may take to leave
UNAUTHENTICATED, SLOW, FLOOD, TOO_BIG, GOING_AWAY = 4401, 4408, 4429, 1009, 1001
T = TypeVar("T")
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Source(Protocol):
    """What a connection needs of the hub."""

    @property
    def place(self) -> tail.Place: ...

    @property
    def quotes(self) -> dict[str, Quoted]: ...

    async def knows(self, symbol: str) -> bool: ...

    async def in_database(self, ask: Callable[[], T]) -> T: ...


class Gone(Exception):
    """The client went away."""


class Connection:
    """An authenticated socket. The hub calls `offer`, `offer_quote` and `cut`; everything is on the event loop."""

    def __init__(self, source: Source, receive: Receive, send: Send, credential: Credential, rights: Rights) -> None:
        self.credential = credential
        self.rights = rights
        self._source = source
        self._receive = receive
        self._send = send
        self._channels: set[str] = set()
        self._outbox = Outbox()
        self._held: list[Delivery] | None = None  # what happens during a replay, to be sent after it
        self._replayed: set[int] = set()  # what a replay sent and the hub may still offer
        self._seen = range(0)  # what the client has already, although this hub has not come that far
        self._end: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._second, self._count = 0, 0

    async def serve(self) -> None:
        """Welcome the client and serve it until either side ends it."""
        self._say(
            type="welcome",
            timestamp=messages.stamp(datetime.now(UTC)),
            channels=topics.offered(),
            last_event=self._source.place.head,
            user=self.rights.name,
        )
        tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(work) for work in self._works()]
        try:
            await asyncio.wait([*tasks, self._end], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        _raise_bugs(outcomes)
        if any(isinstance(outcome, Stalled) for outcome in outcomes):
            self.cut(SLOW, "messages do not leave: read faster, or subscribe to less")
        if self._end.done():
            await close(self._send, *self._end.result())

    def cut(self, code: int, reason: str) -> None:
        """End the connection; the client is told why if it listens."""
        if not self._end.done():
            self._end.set_result((code, reason))

    def offer(self, delivery: Delivery) -> None:
        """Send an event if the client subscribed to it and may see it."""
        if delivery.id in self._replayed:
            self._replayed.discard(delivery.id)
        elif delivery.id in self._seen or self._channel(delivery) is None:
            return
        elif self._held is not None:
            self._hold(delivery)
        else:
            self._deliver(delivery)

    def offer_quote(self, symbol: str, text: str) -> None:
        """Send a quote if the client subscribed to it; a newer one takes the place of one that still waits."""
        if topics.wants_quote(symbol, self._channels):
            self._outbox.put_quote(symbol, text)

    def _works(self) -> list[Coroutine[Any, Any, None]]:
        return [self._listen(), self._outbox.write(self._send_text)]

    async def _send_text(self, text: str) -> None:
        try:
            await self._send({"type": "websocket.send", "text": text})
        except OSError:
            raise Gone from None

    async def _listen(self) -> None:
        while True:
            text = await next_text(self._receive)
            if text is not None and len(text.encode()) > messages.MAX_BYTES:
                return self.cut(TOO_BIG, f"a message may have at most {messages.MAX_BYTES} bytes")
            try:
                self._count_message()
                await self._answer(messages.read(text))
            except BadMessage as error:
                self._say_text(error.text())

    def _count_message(self) -> None:
        second = int(asyncio.get_running_loop().time())
        self._second, self._count = second, self._count + 1 if second == self._second else 1
        if self._count > TOO_MANY:
            self.cut(FLOOD, f"more than {TOO_MANY} messages in a second")
        if self._count > PER_SECOND:
            rule, remedy = f"more than {PER_SECOND} in a second; ignored", "send fewer; name many channels in one"
            raise BadMessage("rate_limited", field="messages", value=str(self._count), rule=rule, remedy=remedy)

    async def _answer(self, message: Inbound) -> None:
        match message.type:
            case "ping":
                self._say(type="pong", timestamp=messages.stamp(datetime.now(UTC)))
            case "subscribe":
                await self._subscribe(await self._named(message), message.since)
            case "unsubscribe":
                self._unsubscribe(await self._named(message))
            case "auth":
                rule, remedy = "this socket is authenticated already", "open another socket for another user"
                raise BadMessage("authenticated", field="type", value="auth", rule=rule, remedy=remedy)
            case other:
                remedy = "use subscribe, unsubscribe or ping"
                rule = "is not a type of message"
                raise BadMessage("unknown_type", field="type", value=other, rule=rule, remedy=remedy)

    async def _named(self, message: Inbound) -> list[str]:
        names = message.named()
        if not names:
            remedy = 'name them like "channels": ["positions"]'
            raise BadMessage("no_channel", field="channels", value="none", rule="names no channel", remedy=remedy)
        for name in names:
            symbol = topics.symbol_of(name)
            if symbol is not None and not await self._source.knows(symbol):
                remedy = "use the symbol of an instrument, like quotes:BTC-USD"
                raise topics.unknown(name, "names no instrument", remedy)
        return names

    async def _subscribe(self, names: list[str], since: int | None) -> None:
        fresh = set(names) - self._channels
        if since is not None:
            await self._begin_replay(since)
        self._channels.update(names)
        self._confirm()
        for symbol, quote in self._source.quotes.items():
            if topics.wants_quote(symbol, fresh):
                self._outbox.put_quote(symbol, quote_text(symbol, quote))
        if since is not None:
            await self._replay(frozenset(names), since)

    def _unsubscribe(self, names: list[str]) -> None:
        self._channels.difference_update(names)
        self._outbox.drop_quotes()
        self._confirm()

    async def _begin_replay(self, since: int) -> None:
        last = await self._source.in_database(tail.last_id)
        if since > last:
            rule, remedy = f"is later than the last event, {last}", "use the number of an event you received"
            raise BadMessage("unknown_event", field="since", value=str(since), rule=rule, remedy=remedy)
        self._held = []
        self._seen = range(self._source.place.head + 1, since + 1)

    async def _replay(self, names: frozenset[str], since: int) -> None:
        """Send what happened after `since` on these channels, then what happened meanwhile, each event once."""
        after, full = since, True
        while full:
            accounts = None if self.rights.sees_all else self.rights.accounts
            page = await self._source.in_database(partial(tail.read_after, after, accounts, PAGE))
            resume = max(since, self._source.place.resume)
            for fact in page:
                await self._outbox.room()
                self._resend(Delivery(fact, resume=resume), names)
            after, full = (page[-1].id if page else after), len(page) == PAGE
            self._forget_replayed()
        held, self._held = self._held or [], None
        for delivery in held:
            self.offer(delivery)

    def _resend(self, delivery: Delivery, names: frozenset[str]) -> None:
        channel = topics.pick(delivery.kind, delivery.account_id, names)
        if channel is not None and self._may_see(delivery):
            self._replayed.add(delivery.id)
            self._say_text(delivery.text(channel))

    def _forget_replayed(self) -> None:
        """Drop the numbers that will not be offered any more, and what was held although a page contained it."""
        self._held = [delivery for delivery in self._held or [] if delivery.id not in self._replayed]
        place = self._source.place
        self._replayed = {number for number in self._replayed if not place.passed(number)}

    def _hold(self, delivery: Delivery) -> None:
        if self._held is not None and len(self._held) < 20 * PAGE:
            self._held.append(delivery)
        else:
            self.cut(SLOW, "too much happened while the past was sent; subscribe again with the last number seen")

    def _channel(self, delivery: Delivery) -> str | None:
        channel = topics.pick(delivery.kind, delivery.account_id, self._channels)
        return channel if channel is not None and self._may_see(delivery) else None

    def _may_see(self, delivery: Delivery) -> bool:
        return topics.may_see(self.rights, delivery.account_id)

    def _deliver(self, delivery: Delivery) -> None:
        channel = self._channel(delivery)
        if channel is not None:
            self._say_text(delivery.text(channel))

    def _confirm(self) -> None:
        self._say(type="subscribed", channels=sorted(self._channels))

    def _say(self, **fields: Any) -> None:
        self._say_text(messages.write(**fields))

    def _say_text(self, text: str) -> None:
        if not self._outbox.put(text):
            self.cut(SLOW, "messages pile up: read faster, or subscribe to less")


def quote_text(symbol: str, quote: Quoted) -> str:
    """Return the message that carries a quote."""
    return messages.write(type="quote", channel=f"{topics.QUOTES_OF}{symbol}", data=quote)


async def next_text(receive: Receive) -> str | None:
    """Return the next text frame, None for a binary one. Raises Gone when the client went away."""
    message = await receive()
    if message["type"] == "websocket.disconnect":
        raise Gone
    return message.get("text")


async def close(send: Send, code: int, reason: str) -> None:
    """Close a socket with a code and a reason; a client that does not read is not waited for."""
    try:
        async with asyncio.timeout(GRACE):
            await send({"type": "websocket.close", "code": code, "reason": reason[:120]})
    except (TimeoutError, OSError):
        return


def _raise_bugs(outcomes: list[BaseException | None]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Exception) and not isinstance(outcome, Gone | Stalled):
            raise outcome
