"""One socket from its welcome to its end: what the client asks for, and what it is sent."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from apps.web.gateway import messages, tail, topics
from apps.web.gateway.delivery import Delivery
from apps.web.gateway.grants import Credential, Rights
from apps.web.gateway.messages import BadMessage, Inbound
from apps.web.gateway.outbox import Outbox
from apps.web.gateway.place import Place
from apps.web.gateway.resuming import Had

PER_SECOND = 20  # messages a client may send in a second
TOO_MANY = 5 * PER_SECOND  # so many, although it was told: the socket is closed
PAGE = 500
HELD = 20 * PAGE  # events that may happen during a replay
GRACE = 5.0  # seconds a closing message may take to leave
UNAUTHENTICATED, SLOW, FLOOD, TOO_BIG, GOING_AWAY = 4401, 4408, 4429, 1009, 1001
T = TypeVar("T")
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Source(Protocol):
    """What a connection needs of the hub."""

    @property
    def place(self) -> Place: ...

    def prices(self, channels: frozenset[str]) -> Iterable[tuple[str, str]]: ...

    def hurry(self, outbox: Outbox) -> None: ...

    async def fills_of(self, facts: list[tail.Fact]) -> dict[int, str]: ...

    async def watch(self, connection: "Connection", channels: frozenset[str]) -> None: ...

    async def caught_up(self) -> bool: ...

    async def knows(self, symbol: str) -> bool: ...

    async def in_database(self, ask: Callable[[], T]) -> T: ...


class Gone(Exception):
    """The client went away."""


class Connection:
    """An authenticated socket. The hub calls `offer`, `offer_price` and `cut`; everything is on the event loop."""

    def __init__(self, source: Source, receive: Receive, send: Send, credential: Credential, rights: Rights) -> None:
        self.credential = credential
        self.rights = rights
        self.channels: frozenset[str] = frozenset()
        self.watched: frozenset[str] = frozenset()  # those, and what is being subscribed to; kept by the hub
        self._source = source
        self._receive = receive
        self._send = send
        self._outbox = Outbox(source.hurry)
        self._held: dict[int, Delivery] | None = None  # what happens during a replay, to be sent after it
        self._had = Had()
        self._end: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._second, self._count = 0, 0

    async def serve(self) -> None:
        """Welcome the client and serve it until either side ends it."""
        self._say(
            type="welcome",
            timestamp=messages.stamp(datetime.now(UTC)),
            channels=topics.offered(),
            last_event=self._source.place.head,
            resume=self._source.place.text(),
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
        if self._end.done():
            await close(self._send, *self._end.result())

    def cut(self, code: int, reason: str) -> None:
        """End the connection; the client is told why if it listens."""
        if not self._end.done():
            self._end.set_result((code, reason))

    def cut_if_stalled(self, now: float) -> None:
        """End the connection when its client has stopped to read."""
        if self._outbox.is_stalled(now):
            self.cut(SLOW, "messages do not leave: read faster, or subscribe to less")

    def offer(self, delivery: Delivery) -> None:
        """Send an event if the client subscribed to it, may see it, and does not have it."""
        channel = self._channel(delivery)
        if channel is None or self._had.has(delivery.id, channel):
            return
        if self._held is not None:
            self._hold(delivery)
        else:
            self._deliver(delivery, channel)

    def offer_price(self, name: str, text: str) -> None:
        """Send a price; a newer one of the same name takes the place of one that still waits."""
        self._outbox.put_quote(name, text)

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
                await self._subscribe(frozenset(await self._named(message)), message.stands())
            case "unsubscribe":
                await self._unsubscribe(frozenset(await self._named(message)))
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

    async def _subscribe(self, names: frozenset[str], since: Place | None) -> None:
        if since is not None:
            await self._refuse_future(since)
            await self._source.caught_up()
        fresh = names - self.channels
        await self._source.watch(self, self.channels | names)
        # From here to the first wait the hub offers nothing: what it offered before, the replay reads.
        place = self._source.place
        self.channels |= names
        if since is not None:
            self._held = {}
            self._had.resumed(names, since, place)
        self._confirm(place if since is None else since)
        for name, text in self._source.prices(fresh):
            self.offer_price(name, text)
        if since is not None:
            await self._replay(names, since, place)

    async def _unsubscribe(self, names: frozenset[str]) -> None:
        self.channels -= names
        self._outbox.drop_quotes()
        self._confirm(self._source.place)
        await self._source.watch(self, self.channels)

    async def _refuse_future(self, since: Place) -> None:
        last = await self._source.in_database(tail.last_id)
        if since.head > last:
            rule, remedy = f"is later than the last event, {last}", "use the `resume` of a message you received"
            raise BadMessage("unknown_event", field="since", value=since.text(), rule=rule, remedy=remedy)

    async def _replay(self, names: frozenset[str], since: Place, until: Place) -> None:
        """Send what the client lacks up to a place of the hub, then what happened meanwhile, each event once."""
        sent: set[int] = set()
        if since.missing:
            late = await self._source.in_database(partial(tail.read_these, since.missing))
            for delivery, channel in await self._past(late, names):
                sent.add(delivery.id)
                await self._resend(delivery, channel, since.up_to(since.head, sent))
        after, full = since.head, since.head < until.head
        while full:
            scope = tail.Scope(self.rights.accounts, topics.OPEN, self.rights.sees_all)
            page = await self._source.in_database(partial(tail.read_between, after, until.head, scope, PAGE))
            for delivery, channel in await self._past(page, names):
                sent.add(delivery.id)
                await self._resend(delivery, channel, until.up_to(delivery.id, sent))
            after, full = (page[-1].id if page else after), len(page) == PAGE
        await self._let_go()

    async def _let_go(self) -> None:
        """Send what happened meanwhile; what happens while that is sent waits behind it."""
        while self._held:
            await self._outbox.room()
            delivery = self._held.pop(next(iter(self._held)))
            channel = self._channel(delivery)
            if channel is not None:
                self._deliver(delivery, channel)
        self._held = None

    async def _past(self, facts: list[tail.Fact], names: frozenset[str]) -> list[tuple[Delivery, str]]:
        """Return those of a page that are to be sent, with their channels."""
        fills = await self._source.fills_of(facts) if topics.FILLS in names else {}
        chosen = []
        for fact in facts:
            delivery = Delivery(fact, fills.get(fact.id))
            channel = next((name for name in delivery.channels if name in names), None)
            # What the hub has offered meanwhile comes after the replay.
            if channel is not None and self._may_see(delivery) and fact.id not in (self._held or ()):
                self._had.replayed(fact.id, self._source.place)
                chosen.append((delivery, channel))
        return chosen

    async def _resend(self, delivery: Delivery, channel: str, place: Place) -> None:
        await self._outbox.room()
        self._say_text(delivery.text_at(channel, place))

    def _hold(self, delivery: Delivery) -> None:
        if self._held is not None and len(self._held) < HELD:
            self._held[delivery.id] = delivery
        else:
            self.cut(SLOW, "too much happened while the past was sent; subscribe again with the last `resume`")

    def _channel(self, delivery: Delivery) -> str | None:
        for name in delivery.channels:
            if name in self.channels:
                return name if self._may_see(delivery) else None
        return None

    def _may_see(self, delivery: Delivery) -> bool:
        return topics.may_see(self.rights, delivery.kind, delivery.account_id, delivery.subject)

    def _deliver(self, delivery: Delivery, channel: str) -> None:
        after = delivery.fact.after
        place = self._had.place(after, self._source.place)
        self._say_text(delivery.text(channel) if place is after else delivery.text_at(channel, place))

    def _confirm(self, place: Place) -> None:
        resume = self._had.place(place, self._source.place).text()
        self._say(type="subscribed", channels=sorted(self.channels), resume=resume)

    def _say(self, **fields: Any) -> None:
        self._say_text(messages.write(**fields))

    def _say_text(self, text: str) -> None:
        if not self._outbox.put(text):
            self.cut(SLOW, "messages pile up: read faster, or subscribe to less")


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
        if isinstance(outcome, Exception) and not isinstance(outcome, Gone):
            raise outcome
