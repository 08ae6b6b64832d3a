"""A real server on loopback and clients that talk to it."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).parents[2]
PATIENCE = 10.0


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[int]:
    """Run the site under uvicorn with this environment and yield its port."""
    port = free_port()
    words = [sys.executable, "-m", "uvicorn", "tradingsite.asgi:application", "--port", str(port), "--no-access-log"]
    server = subprocess.Popen(words, cwd=ROOT, env={**os.environ, **environment})
    try:
        eventually(lambda: _answers(port, server), 30)
        yield port
    finally:
        server.terminate()
        server.wait(15)


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int, server: subprocess.Popen[bytes]) -> bool:
    assert server.poll() is None, "the server ended"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def eventually(true: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


class Client:
    """A socket and what came out of it."""

    def __init__(self, raw: ClientConnection) -> None:
        self.raw = raw

    def tell(self, **fields: Any) -> None:
        self.raw.send(json.dumps(fields))

    def next(self, patience: float = PATIENCE) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.raw.recv(patience))
        return message

    def until(self, kind: str, patience: float = PATIENCE) -> dict[str, Any]:
        """Return the next message of a type, skipping others."""
        deadline = time.monotonic() + patience
        while True:
            message = self.next(deadline - time.monotonic())
            if message["type"] == kind:
                return message

    def subscribe(self, *channels: str, **more: Any) -> dict[str, Any]:
        self.tell(type="subscribe", channels=list(channels), **more)
        return self.until("subscribed")

    def events(self, quiet: float = 0.6) -> list[dict[str, Any]]:
        """Return every message until none came for a while."""
        found = []
        try:
            while True:
                found.append(self.next(quiet))
        except TimeoutError:
            return found

    def close_code(self, patience: float = PATIENCE) -> int:
        """Read to the end and return the code the server closed with."""
        deadline = time.monotonic() + patience
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.raw.recv(max(deadline - time.monotonic(), 0.01))
        closed = self.raw.protocol.close_rcvd
        assert closed is not None, "the connection ended without a closing frame"
        return closed.code


@contextmanager
def client(port: int, *, token: str = "", path: str = "/ws/v1", **options: Any) -> Iterator[Client]:
    """Open a socket, with a bearer token if one is given."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= options.pop("headers", {})
    options = {"proxy": None, "compression": None, **options}
    with connect(f"ws://127.0.0.1:{port}{path}", additional_headers=headers, **options) as raw:
        yield Client(raw)
