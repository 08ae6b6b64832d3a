"""How requests reach Django's threads: long-lived threads with a database connection each, and bodies of bounded size.

Django on its own starts a thread for every request over ASGI and, with persistent connections, leaves one database
connection behind in each until the garbage collector comes by. Here a request borrows a thread that is free.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.db import connections

from apps.web import problems

MAX_BODY = 1024 * 1024  # of any request; the API itself reads less
IDLE_THREADS = 16

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Pages(ASGIHandler):
    """Django's handler on borrowed threads; made after `django.setup()`."""

    def __init__(self) -> None:
        super().__init__()
        self._idle: deque[ThreadSensitiveContext] = deque()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:  # type: ignore[override]  # untyped library
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError(f"Pages are asked for over HTTP, not {scope['type']}.")
        thread = self._idle.pop() if self._idle else ThreadSensitiveContext()
        token = SyncToAsync.thread_sensitive_context.set(thread)
        body = _Counted(receive, _stated_length(scope))
        try:
            await self.handle(scope, body.receive, send)
            if body.too_large:
                await _refuse(scope, send)
        finally:
            await self._give_back(thread)
            SyncToAsync.thread_sensitive_context.reset(token)

    async def close(self) -> None:
        """End the threads that are free, and their database connections."""
        while self._idle:
            await asyncio.create_task(self._end(self._idle.pop()))

    async def _give_back(self, thread: ThreadSensitiveContext) -> None:
        if len(self._idle) < IDLE_THREADS:
            self._idle.append(thread)
            return
        await asyncio.shield(self._end(thread))

    async def _end(self, thread: ThreadSensitiveContext) -> None:
        SyncToAsync.thread_sensitive_context.set(thread)
        await sync_to_async(connections.close_all, thread_sensitive=True)()
        await thread.__aexit__(None, None, None)  # type: ignore[no-untyped-call]  # untyped library


class _Counted:
    """Lets a body through up to MAX_BODY, then ends it as if the client had gone."""

    def __init__(self, receive: Receive, stated: int) -> None:
        self._receive = receive
        self._left = MAX_BODY
        self.too_large = stated > MAX_BODY

    async def receive(self) -> dict[str, Any]:
        """Return the next message of the client."""
        if self.too_large:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self.too_large = True
            return {"type": "http.disconnect"}
        return message


def _stated_length(scope: Any) -> int:
    text = dict(scope["headers"]).get(b"content-length", b"0")
    return int(text) if text.isdigit() and len(text) < 20 else 0


async def _refuse(scope: Any, send: Send) -> None:
    answer = problems.plain_response("too-large", 413, f"The body is larger than {MAX_BODY // 1024} KB.")
    headers = [(b"content-type", problems.MEDIA_TYPE.encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": answer.content})
