"""Hearing from Redis that something happened. Everything works without it, a little later."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import msgspec
from redis import asyncio as redis
from redis.exceptions import RedisError

from apps.web.gateway.messages import Quoted

QUOTES, EVENTS = "tradingsite:quotes", "tradingsite:events"
FIRST_WAIT, LONGEST_WAIT = 0.5, 5.0  # seconds before trying again
log = logging.getLogger(__name__)


class Doorbell:
    """Listens on Redis: calls `rung` for every bell and `quoted` with every batch of quotes, on the event loop."""

    def __init__(self, url: str, rung: Callable[[], None], quoted: Callable[[list[Quoted]], None]) -> None:
        self._url = url
        self._rung = rung
        self._quoted = quoted
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen; without an address there is nothing to listen to."""
        if self._url:
            self._task = asyncio.get_running_loop().create_task(self._listen())

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self) -> None:
        wait = FIRST_WAIT
        while True:
            try:
                async for message in self._messages():
                    wait = FIRST_WAIT
                    self._hear(message)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("Redis is silent, the journal is looked at without a bell: %s", error)
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _messages(self) -> Any:
        client = redis.Redis.from_url(self._url, socket_connect_timeout=3, socket_timeout=10, health_check_interval=5)
        async with client, client.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(QUOTES, EVENTS)
            while True:
                message = await channel.get_message(timeout=5)
                if message is not None:
                    yield message

    def _hear(self, message: dict[str, Any]) -> None:
        if message["channel"] != QUOTES.encode():
            self._rung()
            return
        try:
            self._quoted(msgspec.json.decode(message["data"], type=list[Quoted]))
        except msgspec.MsgspecError as error:
            log.warning("A batch of quotes could not be read: %s", error)
