"""The stream goes on where it was cut, in the gateway's own words."""

import asyncio
import json
from contextlib import suppress
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from apps.web.terminal.site import Site
from apps.web.terminal.stream import Stream

RESUME = "1340:3,5-6"  # gaps included: docs/gateway.md


def test_what_the_gateway_gave_for_resuming_is_given_back() -> None:
    asked: list[dict[str, Any]] = []
    heard: list[dict[str, Any]] = []
    again = asyncio.Event()

    async def gateway(socket: ServerConnection) -> None:
        asked.append(json.loads(await socket.recv()))
        await socket.send(json.dumps({"type": "subscribed", "resume": RESUME}))
        if len(asked) == 2:
            again.set()
            await socket.wait_closed()

    async def play() -> None:
        async with serve(gateway, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            stream = Stream(Site(f"http://127.0.0.1:{port}", "token"), heard.append, lambda _there: None)
            following = asyncio.create_task(stream.follow())
            await asyncio.wait_for(again.wait(), 20)
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    asyncio.run(play())
    assert [one.get("since") for one in asked] == [None, RESUME]
    assert heard[0]["resume"] == RESUME
