"""A whole site that trades at a simulated exchange, everything in processes of its own that can be killed."""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import psutil
import requests
from django.db import Error, connection
from django.test import override_settings

from apps.market.models import Instrument, Quote
from apps.ops import invariants
from apps.ops.supervisor import Supervisor
from apps.trading import keyfile
from apps.trading.models import Account, Order
from tests.faults.orders import desk
from tests.flow import worlds
from tests.flow.worlds import ROOT, Exchange, World, eventually, family, free_port
from tests.servers import PrivateServers

PROCESSES = ("listener", "sweeper", "worker-exits", "worker-orders", "worker", "beat", "web")
PULSES = ("listener", "sweeper", "worker-exits", "worker-orders", "worker")  # those that write signs of life
AWAY = 1.5  # seconds that a killed server stays away
PUSH_EVERY = 0.4  # seconds between two trades of a product


class Venue(Exchange):
    """The exchange as a process that remembers its orders when it is killed."""

    def __init__(self, world: World, symbols: tuple[str, ...]) -> None:
        port = free_port()
        super().__init__(f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}")
        self._world = world
        listed = ",".join(f"{symbol}=100.00" for symbol in symbols)
        file = str(world.folder / "orders.jsonl")
        words = ("--port", str(port), "--products", listed, "--rate", "none", "--orders-file", file)
        self._argv = (sys.executable, str(ROOT / "manage.py"), "simulator", *words)
        world.extra |= {"COINBASE_WS_URL": self.ws_url, "COINBASE_REST_URL": self.rest_url}
        self.start()

    def start(self) -> None:
        self._world.spawn("simulator", self._argv, {})
        eventually(lambda: self.ask("/time") is not None, explain=lambda: self._world.log("simulator"))

    def kill(self) -> None:
        self._world.kill("simulator")

    def ask(self, path: str) -> Any:
        """Return what the exchange answers, None when it is away."""
        try:
            return requests.get(self.rest_url + path, timeout=2).json()
        except requests.RequestException:
            return None

    def open_account(self, name: str, balances: dict[str, str]) -> dict[str, Any]:
        return dict(self._post("/_sim/accounts", {"name": name, "balances": balances}))

    def orders(self, name: str) -> list[dict[str, Any]]:
        found = eventually(lambda: self.ask("/_sim/orders") or [{}])
        return [one for one in found if one and one["account"] == name]

    def balances(self, name: str) -> dict[str, str]:
        found = eventually(lambda: self.ask("/_sim/accounts"))
        return dict(next(one["balances"] for one in found if one["name"] == name))

    def try_push(self, symbol: str, price: str) -> None:
        """Make a trade if the exchange is there."""
        with contextlib.suppress(requests.RequestException):
            self.push(symbol, price)


class Market(threading.Thread):
    """Trades every product again and again at its present price, except those that stand still."""

    def __init__(self, venue: Venue, symbols: tuple[str, ...]) -> None:
        super().__init__(name="market", daemon=True)
        self.prices = dict.fromkeys(symbols, "100.00")
        self.still: set[str] = set()
        self._venue = venue
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.wait(PUSH_EVERY):
            for symbol, price in list(self.prices.items()):
                if symbol not in self.still:
                    self._venue.try_push(symbol, price)

    def stop(self) -> None:
        self._ending.set()
        self.join(20)


class Rig:
    """The site: an account and a product for each name, so that no state disturbs another."""

    def __init__(self, world: World, servers: PrivateServers, options: dict[str, dict[str, Any]]) -> None:
        self.world = world
        self.servers = servers
        self.names = tuple(options)
        symbols = {name: f"{name.upper().replace('-', '')}-USD" for name in options}
        self.venue = Venue(world, tuple(symbols.values()))
        self.market = Market(self.venue, tuple(symbols.values()))
        self.symbols = symbols
        self.instruments: dict[str, Instrument] = dict(zip(options, worlds.instruments(*symbols.values()), strict=True))
        Instrument.objects.update(lot_size=Decimal("0.0001"), min_quantity=Decimal("0.0001"))
        self.accounts: dict[str, Account] = {name: self._account(name, **more) for name, more in options.items()}
        self.supervisor = Supervisor(world.folder / "log")
        self._ending = threading.Event()
        self._ticking = threading.Thread(target=self._tick, name="supervisor", daemon=True)

    def _account(self, name: str, **options: Any) -> Account:
        base = self.symbols[name].partition("-")[0]
        there = self.venue.open_account(name, {"USD": "10000000", base: "0"})
        return desk.account_at(self.venue.rest_url, there, name=name, **options)

    # -- the parts ----------------------------------------------------------------------------------------------------
    def begin(self) -> None:
        """Start everything and wait until it works."""
        self.market.start()
        self.world.manage("timetable")
        for name in PROCESSES:
            child = self.world.child(name)
            self.supervisor.start(replace(child, environment={**self.world.environment, **child.environment}))
        self._ticking.start()
        self.wait_until_green(90)

    def _tick(self) -> None:
        while not self._ending.wait(0.05):
            self.supervisor.tick()

    def pid(self, name: str) -> int:
        found: int = eventually(lambda: next(item.pid for item in self.supervisor.snapshot() if item.name == name))
        return found

    def kill(self, name: str) -> None:
        """Kill a process of the site with -9, and whatever it has forked, in the same moment."""
        for one in family(self.pid(name)):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)

    def is_green(self) -> bool:
        try:
            quotes = Quote.objects.filter(heard_at__gt=desk.factories.now() - desk.timedelta(seconds=5)).count()
            return all(worlds.is_well(self.pid(name)) for name in PULSES) and quotes >= len(self.names)
        except Error:
            connection.close()
            return False

    def wait_until_green(self, patience: float = 60) -> None:
        def explain() -> str:
            said = [f"{item.name}: {item.state} {item.last_exit}" for item in self.supervisor.snapshot()]
            return "\n".join(
                [*said, f"{Quote.objects.count()} quotes", self.log("listener"), self.log("worker-orders")]
            )

        eventually(self.is_green, patience, explain)

    def log(self, name: str) -> str:
        path = self.world.folder / "log" / f"{name}.log"
        return path.read_text(errors="replace")[-1500:] if path.exists() else ""

    # -- what is known here and there ---------------------------------------------------------------------------------
    def net(self, name: str) -> Decimal:
        """Return what the venue holds for an account, by its own books."""
        return Decimal(self.venue.balances(name)[self.symbols[name].partition("-")[0]])

    def disagreements(self, name: str) -> list[str]:
        return desk.compare(self.accounts[name], self.venue.orders(name), self.net(name))

    def holds(self) -> dict[str, Any]:
        """Return the invariants that do not hold."""
        found = invariants.check()
        return {finding.id: finding.examples for finding in found if finding.violations}

    def working(self) -> list[Order]:
        return list(Order.objects.exclude(status__in=desk.ENDED_ORDERS))

    def close(self) -> None:
        if self.market.is_alive():
            self.market.stop()
        self._ending.set()
        if self._ticking.is_alive():
            self._ticking.join(10)
        self.supervisor.__exit__(None, None, None)


def patient(look: Callable[[], Any]) -> Callable[[], Any]:
    """Return a look that takes a database that is away for "not yet"."""

    def again() -> Any:
        try:
            return look()
        except Error:
            connection.close()
            time.sleep(0.1)
            return False

    return again


@contextlib.contextmanager
def rigged(world: World, servers: PrivateServers, options: dict[str, dict[str, Any]]) -> Iterator[Rig]:
    """Yield a site that works, and end it."""
    path = world.folder / "broker_keys"
    keyfile.create(path)
    with override_settings(KEY_FILE=path):
        rig = Rig(world, servers, options)
        try:
            rig.begin()
            yield rig
        finally:
            rig.close()
