"""The gateway from the terminal's side: connects, subscribes, resumes after the last event, and connects again."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidMessage, WebSocketException

from apps.web.terminal.site import Site

FIRST, LONGEST = 0.5, 30.0  # seconds until the first attempt after a loss, and at most
CHANNELS: Final = ("events", "quotes")
QUIET: Final = 20.0  # seconds without a word, after which the socket is asked whether it lives
MOST_BYTES: Final = 2**20
UNAUTHENTICATED: Final = 4401


class Stream:
    """What the gateway says, as long as somebody listens; every call comes from one event loop."""

    def __init__(self, site: Site, heard: Callable[[dict[str, Any]], None], contact: Callable[[bool], None]) -> None:
        self._site = site
        self._heard = heard
        self._contact = contact
        self._resume: int | str | None = None  # the gateway's own words, given back as they came

    async def follow(self) -> None:
        """Listen until cancelled; each loss is followed by another attempt, later and later."""
        wait = FIRST
        while True:
            try:
                async with aclosing(self._messages()) as messages:
                    async for message in messages:
                        wait = FIRST
                        self._take(message)
            except (OSError, WebSocketException, InvalidHandshake, InvalidMessage, TimeoutError):
                pass  # the screen says so, and the reader goes on asking the API
            self._contact(False)
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - spreads attempts, hides nothing
            wait = min(wait * 2, LONGEST)

    async def _messages(self) -> AsyncGenerator[dict[str, Any], None]:
        headers = {"Authorization": f"Bearer {self._site.token}"}
        async with connect(
            self._site.socket_address,
            additional_headers=headers,
            ping_interval=QUIET,
            ping_timeout=QUIET,
            max_size=MOST_BYTES,
            proxy=None,
        ) as socket:
            await self._subscribe(socket)
            async for text in socket:
                yield json.loads(text)

    async def _subscribe(self, socket: ClientConnection) -> None:
        wish: dict[str, Any] = {"type": "subscribe", "channels": list(CHANNELS)}
        if self._resume is not None:
            wish["since"] = self._resume
        await socket.send(json.dumps(wish))

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("type") == "subscribed":
            self._contact(True)
        elif message.get("type") == "error" and message.get("code") == "unknown_event":
            self._resume = None  # the database is another one than before: begin with what happens now
        if "resume" in message:
            self._resume = message["resume"]
        self._heard(message)
