"""What waits to be sent on one socket: events in order and bounded, quotes as the latest per instrument."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

LIMIT = 1000  # messages waiting; a client that lets more pile up is cut off
LIMIT_BYTES = 4 * 1024 * 1024
QUOTES_EVERY = 0.2  # seconds between two quotes of one instrument
STALL = 10.0  # seconds one message may take to leave
Send = Callable[[str], Awaitable[None]]


class Stalled(Exception):
    """The client does not read what it is sent."""


class Outbox:
    """The messages of one socket. Lives on the event loop; `put` never waits, `write` is the only one that sends."""

    def __init__(self) -> None:
        self._texts: deque[str] = deque()
        self._bytes = 0
        self._quotes: dict[str, str] = {}
        self._quotes_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def put(self, text: str) -> bool:
        """Queue a message; False when the client has let too much pile up."""
        if len(self._texts) >= LIMIT or self._bytes >= LIMIT_BYTES:
            return False
        self._texts.append(text)
        self._bytes += len(text)
        if len(self._texts) > LIMIT // 2 or self._bytes > LIMIT_BYTES // 2:
            self._room.clear()
        self._wake.set()
        return True

    async def room(self) -> None:
        """Wait until the queue is at most half full, so that a long replay leaves room for what happens now."""
        await self._room.wait()

    def put_quote(self, symbol: str, text: str) -> None:
        """Queue a quote in place of the one of the same instrument that still waits."""
        self._quotes[symbol] = text
        self._wake.set()

    def drop_quotes(self) -> None:
        """Forget the quotes that wait; for a client that no longer wants them."""
        self._quotes.clear()

    async def write(self, send: Send) -> None:
        """Send what is queued until cancelled. Raises Stalled when one message does not leave in time."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._write_texts(send)
            if self._quotes:
                await self._write_quotes(send)

    async def _write_texts(self, send: Send) -> None:
        while self._texts:
            text = self._texts.popleft()
            self._bytes -= len(text)
            if len(self._texts) <= LIMIT // 2 and self._bytes <= LIMIT_BYTES // 2:
                self._room.set()
            await _in_time(send, text)

    async def _write_quotes(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._quotes_due:
            if self._timer is None:
                self._timer = loop.call_at(self._quotes_due, self._quotes_are_due)
            return
        self._quotes_due = loop.time() + QUOTES_EVERY
        quotes, self._quotes = list(self._quotes.values()), {}
        for text in quotes:
            await _in_time(send, text)

    def _quotes_are_due(self) -> None:
        self._timer = None
        self._wake.set()


async def _in_time(send: Send, text: str) -> None:
    try:
        async with asyncio.timeout(STALL):
            await send(text)
    except TimeoutError:
        raise Stalled from None
