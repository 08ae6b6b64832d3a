"""Runs a simulated exchange: on the caller's event loop, or in a thread of its own for tests and benchmarks."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from apps.simulator import config, control, pump, server
from apps.simulator.config import Config
from apps.simulator.effects import Effects
from apps.simulator.orders import accounts
from apps.simulator.venue import Venue

STOP_WITHIN = 0.3  # seconds clients have to take our last bytes
CALL_WITHIN = 30.0  # seconds a call from another thread may take

T = TypeVar("T")


class CannotListen(OSError):
    """The address or port cannot be used; the text says why in one sentence."""


async def serve(settings: Config, stop: asyncio.Event, ready: Callable[[Venue, int], None]) -> None:
    """Run an exchange on this event loop until `stop` is set; `ready` gets it and its port when it listens.

    Raises CannotListen. A bug in the clockwork ends the exchange with that error: it never goes on half dead.
    """
    loop = asyncio.get_running_loop()
    began = time.monotonic()
    venue = Venue(settings, lambda: time.time_ns() // 1000, lambda: time.monotonic() - began)
    venue.carry_out = Effects(venue, loop.call_later).carry_out
    connections: set[server.Connection] = set()
    listener = await _listen(settings, server.factory(venue, connections))
    clockwork, stopping = asyncio.create_task(pump.run(venue)), asyncio.create_task(stop.wait())
    try:
        ready(venue, listener.sockets[0].getsockname()[1])
        await asyncio.wait((clockwork, stopping), return_when=asyncio.FIRST_COMPLETED)
        if clockwork.done():
            clockwork.result()
    finally:
        listener.close()
        clockwork.cancel()
        stopping.cancel()
        await asyncio.gather(clockwork, stopping, return_exceptions=True)
        await _part(connections)
        venue.orders.close()


async def _listen(settings: Config, factory: Callable[[], server.Connection]) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(
            factory, settings.host, settings.port, backlog=512, family=_family(settings.host)
        )
    except OSError as error:
        raise CannotListen(f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}") from None


def _family(host: str) -> int:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


async def _part(connections: set[server.Connection]) -> None:
    """Close every connection, the unwilling ones by force."""
    for connection in list(connections):
        connection.finish()
    deadline = time.monotonic() + STOP_WITHIN
    while connections and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    for connection in list(connections):
        connection.abort()
    await asyncio.sleep(0)


class SimExchange:
    """An exchange in a thread, for `with`: listening when the block begins, gone without a trace when it ends.

    All methods may be called from any thread.
    """

    def __init__(
        self,
        *,
        products: str = "8",
        seed: int = 1,
        rate: float | None = 40.0,
        volatility: float = 1.0,
        replay: str | Path | None = None,
        speed: float = 1.0,
        loop: bool = False,
        faults: Iterable[str] = (),
        prices: Mapping[str, str] | None = None,
        port: int = 0,
        **more: Any,
    ) -> None:
        """`rate` is trades per second in total, 0 for as fast as possible, None for scripted trades only.

        `more` are the further settings of `config.build`. Raises ValueError with one sentence.
        """
        self.config = config.build(
            products_text=products, seed=seed, rate=rate, volatility=volatility, replay_file=replay, speed=speed,
            loop=loop, fault_texts=faults, prices=prices, port=port, **more,
        )  # fmt: skip
        self.port = port
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._venue: Venue | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def ws_url(self) -> str:
        return f"ws://{self._authority}"

    @property
    def rest_url(self) -> str:
        return f"http://{self._authority}"

    @property
    def _authority(self) -> str:
        host = self.config.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def start(self) -> None:
        """Return when it listens; raises CannotListen."""
        self._thread = threading.Thread(target=self._run, name="simulated-exchange", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """End all connections and the thread; raises what went wrong in the thread, if anything did."""
        if self._thread is None:
            return
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop ended by itself in this moment
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None
        if self._failure is not None:
            raise self._failure

    def push(self, symbol: str, price: str, *, size: str = "0.01", side: str = "buy", **quote: str) -> int:
        """Make one trade at exactly this price and return its trade id; `bid` and `ask` may be given too."""
        return self._call(lambda venue: _flushed(venue, venue.push(symbol, price, size=size, side=side, **quote)))

    def push_many(self, symbol: str, prices: Iterable[str]) -> list[int]:
        """Make several trades in one write."""
        listed = list(prices)
        return self._call(lambda venue: _flushed(venue, [venue.push(symbol, price) for price in listed]))

    def wait_for_listener(self, symbol: str, within: float = 10.0) -> None:
        """Return when somebody listens to the trades of this product; raises TimeoutError after `within` seconds."""
        deadline = time.monotonic() + within
        while not self.journal()["listeners"].get(symbol):
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody listens to {symbol} after {within:g} s")
            time.sleep(0.01)

    def fault(self, text: str, **args: Any) -> str:
        """Order a fault as text (`stall@5:2`) or by name and arguments; "executed" or "planned"."""
        return self._call(lambda venue: control.start(venue, control.checked(venue, text, args)))

    def open_account(self, name: str, balances: Mapping[str, str] | None = None, **more: Any) -> dict[str, Any]:
        """Open an account and return it with its keys; `more` as in `accounts.opened`."""
        made = accounts.opened(name, balances, **more)
        return self._call(lambda venue: control.account_row(venue, venue.orders.open_account(made)))

    def account(self, name: str = accounts.MAIN) -> dict[str, Any]:
        """An account as it is now: `key`, `pem`, `secret`, `balances`, `holds`."""
        return self._call(lambda venue: control.account_row(venue, venue.orders.accounts[name]))

    def orders(self) -> list[dict[str, Any]]:
        """The truth about every order: `client_id`, `stage`, `filled`, `fills`."""
        return self._call(control.orders)

    def journal(self) -> dict[str, Any]:
        """The truth so far: trades produced, never sent, faults carried out."""
        return self._call(control.journal)

    def _call(self, act: Callable[[Venue], T]) -> T:
        venue, loop = self._venue, self._loop
        if venue is None or loop is None:
            raise RuntimeError("the exchange is not running")

        async def on_the_loop() -> T:
            return act(venue)

        return asyncio.run_coroutine_threadsafe(on_the_loop(), loop).result(CALL_WITHIN)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as failure:  # noqa: BLE001 - carried to the thread that owns us, which raises it
            self._failure = failure
        finally:
            self._venue = None
            self._ready.set()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await serve(self.config, self._stop, self._opened)

    def _opened(self, venue: Venue, port: int) -> None:
        self.port, self._venue = port, venue
        self._ready.set()


def _flushed(venue: Venue, result: T) -> T:
    venue.hub.flush()
    return result
