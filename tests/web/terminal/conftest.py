"""A site that runs, people with tokens, and a terminal of 80 x 24 without a screen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from apps.access import services as access
from apps.access.models import Scope, User
from apps.access.roles import TRADER
from apps.trading.models import Account, Position
from apps.web.terminal.app import Desk
from apps.web.terminal.site import Site
from tests import factories
from tests.gateway.clients import serving
from tests.gateway.conftest import database_url
from tests.web.conftest import make_user

__all__ = ["database_url"]
SIZE = (80, 24)
PATIENCE = 20.0


@pytest.fixture(scope="module")
def port(database_url: str) -> Iterator[int]:
    with serving({"DATABASE_URL": database_url}) as port:
        yield port


@dataclass
class Trader:
    user: User
    account: Account
    position: Position
    token: str
    address: str

    def site(self, token: str = "") -> Site:
        return Site(self.address, token or self.token)


@pytest.fixture
def trader(transactional_db: None, port: int) -> Trader:
    """A superuser with an account and a long of 1 at 100, stop at 90, target at 120."""
    user = make_user("ada", TRADER, is_superuser=True, is_staff=True)
    account = factories.make_account(user, name="nest egg")
    position = factories.opened(account, factories.make_instrument(), factories.stop("90"), factories.target("120"))
    token = access.create_token(user=user, scope=Scope.ADMIN, now=datetime.now(UTC)).text
    return Trader(user, account, position, token, f"http://127.0.0.1:{port}")


@asynccontextmanager
async def desk(site: Site, size: tuple[int, int] = SIZE) -> AsyncIterator[tuple[Desk, Pilot[None]]]:
    """Open the desk; yields it and the hands on its keyboard."""
    app = Desk(site, lambda: datetime.now(UTC))
    async with app.run_test(size=size) as pilot:
        yield app, pilot


class Door:
    """A door to a site that can be shut: whoever is inside is thrown out, and nobody comes in."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.number = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._enter, "127.0.0.1", self.number)
        self.number = self._server.sockets[0].getsockname()[1]

    def shut(self) -> None:
        assert self._server
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._port)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(_pass_on(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while found := await source.read(65536):
            target.write(found)
            await target.drain()
    except OSError:
        pass
    finally:
        target.close()


@asynccontextmanager
async def between(address: str) -> AsyncIterator[tuple[str, Door]]:
    """Yield the address of a door to a site, and the door."""
    parts = urlsplit(address)
    door = Door(str(parts.hostname), int(parts.port or 0))
    await door.open()
    try:
        yield f"http://127.0.0.1:{door.number}", door
    finally:
        door.shut()
        await asyncio.sleep(0.05)


async def until(pilot: Pilot[None], true: Callable[[], object], what: str = "") -> None:
    """Wait until something holds on the screen."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not true():
        assert asyncio.get_running_loop().time() < deadline, f"never: {what}\n{screen(pilot.app)}"
        await pilot.pause(0.05)


def screen(app: Any) -> str:
    """Return the text on the screen."""
    return "\n".join("".join(segment.text for segment in line) for line in app.screen._compositor.render_strips())


def said(app: Desk, name: str) -> str:
    """Return what a line of the desk says."""
    return str(app.query_one(f"#{name}", Static).render())


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())


def notes(app: Desk) -> str:
    """Return what the desk said in passing."""
    return " ".join(note.message for note in app._notifications)
