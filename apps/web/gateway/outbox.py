"""What waits to be sent on one socket: events in order and bounded, prices as the latest of each kind."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

LIMIT = 1000  # messages waiting; a client that lets more pile up is cut off
LIMIT_BYTES = 4 * 1024 * 1024
QUOTES_EVERY = 0.2  # seconds between two quotes of one instrument
STALL = 10.0  # seconds one message may take to leave
Send = Callable[[str], Awaitable[None]]


class Outbox:
    """The messages of one socket. Lives on the event loop; `put` never waits, `write` is the only one that sends.

    Prices leave when `release` is called: `hurry` is told once that some wait, so that whoever serves many sockets can
    let them go a few at a time and events go first.
    """

    def __init__(self, hurry: Callable[["Outbox"], None] | None = None) -> None:
        self._hurry = hurry or Outbox.release
        self._texts: deque[str] = deque()
        self._bytes = 0
        self._quotes: dict[str, str] = {}
        self._are_queued = self._are_released = False
        self._quotes_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._sending_since: float | None = None
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

    def put_quote(self, name: str, text: str) -> None:
        """Queue a price in place of the one of the same name that still waits."""
        self._quotes[name] = text
        if not self._are_queued:
            self._are_queued = True
            self._hurry(self)

    def drop_quotes(self) -> None:
        """Forget the prices that wait; for a client that no longer wants them."""
        self._quotes.clear()

    def release(self) -> None:
        """Let the prices that wait leave."""
        self._are_queued, self._are_released = False, True
        self._wake.set()

    def is_stalled(self, now: float) -> bool:
        """Say whether one message has been leaving for too long: the client does not read."""
        return self._sending_since is not None and now - self._sending_since > STALL

    async def write(self, send: Send) -> None:
        """Send what is queued until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._sending_since = loop.time()
            await self._write_texts(send)
            if self._quotes and self._are_released:
                await self._write_quotes(send)
            self._sending_since = None

    async def _write_texts(self, send: Send) -> None:
        while self._texts:
            text = self._texts.popleft()
            self._bytes -= len(text)
            if len(self._texts) <= LIMIT // 2 and self._bytes <= LIMIT_BYTES // 2:
                self._room.set()
            await self._send(send, text)

    async def _write_quotes(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._quotes_due:
            if self._timer is None:
                self._timer = loop.call_at(self._quotes_due, self._quotes_are_due)
            return
        self._quotes_due = loop.time() + QUOTES_EVERY
        self._are_released = False
        quotes, self._quotes = list(self._quotes.values()), {}
        for text in quotes:
            await self._send(send, text)
            if self._texts:
                await self._write_texts(send)  # an event never waits for prices

    async def _send(self, send: Send, text: str) -> None:
        self._sending_since = asyncio.get_running_loop().time()
        await send(text)

    def _quotes_are_due(self) -> None:
        self._timer = None
        self._wake.set()
