"""The clients of the gateway's benchmark: one process, one loop, raw frames. A plan comes on stdin, answers on stdout.

It tells on stdout when all have subscribed, stops when stdin closes, and then writes what every client was sent.
"""

import asyncio
import base64
import json
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop

AWAY = 0.3  # seconds between a client's death and its return
QUOTE = b'{"type":"quote"'
OPENING = 25  # handshakes at a time


@dataclass(slots=True, kw_only=True)
class Client:
    """One client through all its lives."""

    token: str
    resume: str = ""
    lives: list[float] = field(default_factory=list)  # when it subscribed, each time
    events: list[tuple[int, float]] = field(default_factory=list)  # number and instant, in order of arrival
    quotes: int = 0
    codes: list[str] = field(default_factory=list)  # errors the server told


class Socket(asyncio.Protocol):
    """One life of a client: a handshake, a subscription, then frames."""

    def __init__(self, client: Client, plan: dict[str, Any]) -> None:
        self.client = client
        self.subscribed = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()
        self._plan = plan
        self._rest = b""
        self._open = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        key = base64.b64encode(random.randbytes(16)).decode()
        transport.write(
            f"GET /ws/v1 HTTP/1.1\r\nHost: 127.0.0.1:{self._plan['port']}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {self.client.token}\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        for waiting in (self.subscribed, self.ended):
            if not waiting.done():
                waiting.set_result(False)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        data = self._rest + data if self._rest else data
        if not self._open:
            head, ends, data = data.partition(b"\r\n\r\n")
            if not ends:
                self._rest = head
                return
            self._open = True
            self._subscribe()
        at = 0
        while (frame := _frame(data, at)) is not None:
            opcode, begin, at = frame
            if opcode == 1:
                if data.startswith(QUOTE, begin):
                    self.client.quotes += 1
                else:
                    self._told(json.loads(data[begin:at]), now)
            elif opcode == 9:
                self.transport.write(_masked(10, data[begin:at]))
        self._rest = data[at:]

    def _subscribe(self) -> None:
        wanted: dict[str, Any] = {"type": "subscribe", "channels": self._plan["channels"]}
        if self.client.resume:
            wanted["since"] = self.client.resume
        self.transport.write(_masked(1, json.dumps(wanted).encode()))

    def _told(self, message: dict[str, Any], now: float) -> None:
        if "event" in message:
            self.client.events.append((message["event"], now))
            self.client.resume = message["resume"]
        elif message["type"] == "subscribed":
            self.client.resume = self.client.resume or message["resume"]
            self.client.lives.append(now)
            if not self.subscribed.done():
                self.subscribed.set_result(True)
        elif message["type"] == "error":
            self.client.codes.append(message["code"])


def _frame(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Return opcode, begin and end of the payload of a server's frame; None while it is not whole."""
    if len(data) < at + 2:
        return None
    size, begin = data[at + 1], at + 2
    if size == 126:
        size, begin = int.from_bytes(data[at + 2 : at + 4]), at + 4
    elif size == 127:
        size, begin = int.from_bytes(data[at + 2 : at + 10]), at + 10
    return (data[at] & 15, begin, begin + size) if len(data) >= begin + size else None


def _masked(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    head = bytes([128 | opcode, 128 | size]) if size < 126 else bytes([128 | opcode, 254]) + size.to_bytes(2)
    return head + bytes(4) + payload  # a mask of zeros is a mask


class Crowd:
    """All clients, and the one that dies each second."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._clients = [Client(token=token) for token in plan["tokens"]]
        self._sockets: dict[int, Socket] = {}
        self._gate = asyncio.Semaphore(OPENING)
        self.deaths = 0
        self._closing = False
        self._keepers: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Bring every client in; each is kept in from now on, whatever the server does."""
        joined = [asyncio.get_running_loop().create_future() for _ in self._clients]
        self._keepers = [asyncio.ensure_future(self._keep(number, joined[number])) for number in range(len(joined))]
        await asyncio.gather(*joined)

    async def _keep(self, number: int, joined: "asyncio.Future[None]") -> None:
        while not self._closing:
            socket = await self._join(number)
            if socket is not None:
                if not joined.done():
                    joined.set_result(None)
                await socket.ended
            await asyncio.sleep(AWAY)

    async def _join(self, number: int) -> Socket | None:
        async with self._gate:
            try:
                _, socket = await asyncio.get_running_loop().create_connection(
                    lambda: Socket(self._clients[number], self._plan), "127.0.0.1", self._plan["port"]
                )
            except OSError:
                return None
            self._sockets[number] = socket
            return socket if await socket.subscribed else None

    async def die(self) -> None:
        """Kill one client after the other, without a word to the server."""
        while True:
            await asyncio.sleep(self._plan["death_every"])
            self._sockets[random.randrange(len(self._clients))].transport.abort()
            self.deaths += 1

    def close(self) -> dict[str, Any]:
        """Leave, and return what every client got."""
        self._closing = True
        for keeper in self._keepers:
            keeper.cancel()
        for socket in self._sockets.values():
            socket.transport.abort()
        told = [
            {"events": c.events, "lives": c.lives, "quotes": c.quotes, "errors": sorted(set(c.codes))}
            for c in self._clients
        ]
        return {"clients": told, "deaths": self.deaths, "cpu": time.process_time()}


async def main() -> None:
    """Follow the plan."""
    loop = asyncio.get_running_loop()
    plan = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    crowd = Crowd(plan)
    await crowd.open()
    print("ready", flush=True)
    dying = asyncio.ensure_future(crowd.die())
    await loop.run_in_executor(None, sys.stdin.readline)
    dying.cancel()
    await asyncio.sleep(plan["settle"])
    print(json.dumps(crowd.close()), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
