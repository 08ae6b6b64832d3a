"""An account whose orders go to the simulated exchange over sockets; the clock of the site is the test's."""

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests
from django.conf import LazySettings
from django.db import connection

from apps.domain.legs import Leg
from apps.domain.orders import Ticket
from apps.domain.states import ENDED_ORDERS
from apps.journal.models import Pulse
from apps.market.models import Instrument
from apps.ops import invariants
from apps.simulator.exchange import SimExchange
from apps.trading import keyfile
from apps.trading.models import Account, Exit, Order, Position, Standing
from apps.trading.services import keys, protecting, sending
from tests import factories
from tests.conftest import database_url
from tests.flow.worlds import ROOT, eventually
from tests.trading.orders import wishes

SYMBOL = "BTC-USD"
KEPT = Decimal(10)  # base units that lie at the venue and belong to nobody here: an exit sent twice would sell them
BROKEN = 77  # how a child ends that was made to die
_numbers = itertools.count(1)


class Desk:
    """One account here, one at the venue, one instrument at 100."""

    def __init__(self, exchange: SimExchange, **options: Any) -> None:
        self.exchange = exchange
        self.name = f"desk-{os.getpid()}-{next(_numbers)}"  # a key of its own: pauses of other tests are not ours
        there = exchange.open_account(self.name, {"USD": "10000000", "BTC": str(KEPT)})
        self.account = account_at(exchange.rest_url, there, **options)
        self.instrument: Instrument = factories.make_instrument(SYMBOL, price=None)
        self.trade("100")

    # -- the market and the wishes -------------------------------------------------------------------------------------
    def trade(self, price: str) -> None:
        """Let the venue trade at a price, and the site know it."""
        trade_id = self.exchange.push(SYMBOL, price)
        factories.set_quote(self.instrument, price, bid=price, ask=price, trade_id=trade_id)

    def fault(self, text: str) -> None:
        self.exchange.fault(text)

    def waiting(self) -> int:
        """Return how many faults have not struck yet."""
        found = requests.get(f"{self.exchange.rest_url}/_sim/faults", timeout=5).json()["waiting"]
        return sum(one.get("left", 0) for one in found)

    def enter(self, *legs: Leg, **how: Any) -> Order:
        return wishes.enter(self.account, self.instrument, *legs, **how)

    def lot(self, *legs: Leg, **how: Any) -> Position:
        """Enter at the market and let it fill."""
        order = self.enter(*legs, **how)
        self.send()
        return self.lot_of(order)

    def close(self, position: Position) -> Exit:
        return wishes.close(position)

    # -- the workers ---------------------------------------------------------------------------------------------------
    def send(self, after: float = 0, limit: int = 50) -> sending.Sent:
        """Do what is due so many seconds from now."""
        return sending.send_due("desk", limit, clock=lambda: factories.now() + timedelta(seconds=after))

    def keep(self, after: float = 0) -> int:
        return protecting.keep(now=factories.now() + timedelta(seconds=after))

    def settle_all(self, until: float = 60, step: float = 3) -> None:
        """Let a minute pass in which workers do what they do."""
        for number in range(1, int(until / step) + 1):
            factories.drain()
            self.keep(number * step)
            self.send(number * step)

    # -- what is known here and there ----------------------------------------------------------------------------------
    def at_venue(self) -> list[dict[str, Any]]:
        """Return the venue's orders of this account, oldest first."""
        return [order for order in self.exchange.orders() if order["account"] == self.name]

    def there(self, order: Order) -> dict[str, Any]:
        (found,) = [one for one in self.at_venue() if one["client_id"] == order.client_id]
        return found

    def working(self) -> list[dict[str, Any]]:
        return [one for one in self.at_venue() if one["stage"] in ("pending", "open", "cancel_queued")]

    @property
    def net(self) -> Decimal:
        """Return what the venue holds for us, by its own books."""
        return Decimal(self.exchange.account(self.name)["balances"]["BTC"]) - KEPT

    @property
    def held(self) -> Decimal:
        """Return what we believe to hold."""
        lots = Position.objects.filter(account=self.account)
        return sum((one.remaining if one.side == "long" else -one.remaining for one in lots), Decimal(0))

    def lot_of(self, order: Order) -> Position:
        found = Order.objects.select_related("position").get(pk=order.pk).position
        assert found is not None
        return found

    def disagreements(self) -> list[str]:
        """Return every difference between our orders and the venue's, and every order there twice."""
        return compare(self.account, self.at_venue(), self.net)

    def agrees(self) -> bool:
        """Assert that both sides say the same, that the books balance and every invariant holds."""
        assert self.disagreements() == []
        broken = {one.id: one.examples for one in invariants.check() if one.violations}
        assert broken == {}, broken
        return factories.books_balance(self.account)


def compare(account: Account, there: list[dict[str, Any]], net: Decimal) -> list[str]:
    """Return every difference between our orders of an account and its venue's, and every order there twice."""
    ours = {order.client_id: order for order in Order.objects.filter(account=account)}
    found = [f"{name} is there {n} times" for name, n in Counter(o["client_id"] for o in there).items() if n > 1]
    for one in there:
        order = ours.pop(one["client_id"], None)
        if order is None:
            found.append(f"{one['client_id']} is not known here")
        elif order.filled != Decimal(one["filled"]):
            found.append(f"{order.client_id}: {order.filled} here, {one['filled']} there")
        elif (order.status in ENDED_ORDERS) != (one["stage"] in ("filled", "cancelled", "expired")):
            found.append(f"{order.client_id}: {order.status} here, {one['stage']} there")
    found += [f"{order.client_id} was filled nowhere" for order in ours.values() if order.filled]
    lots = Position.objects.filter(account=account)
    held = sum((one.remaining if one.side == "long" else -one.remaining for one in lots), Decimal(0))
    return found if net == held else [*found, f"we hold {held}, the venue says {net}"]


def account_at(address: str, there: dict[str, Any], name: str = "paper", **options: Any) -> Account:
    """Make an account whose orders go to an account of the simulated exchange, compared with it a moment ago."""
    account = factories.make_account(factories.make_user(f"owner-of-{there['name']}"), deposit="10000000", name=name)
    secrets = keys.Secrets(key=there["key"], secret=there["pem"])
    wanted = keys.NewCredential(
        owner_id=account.owner_id, name=there["name"], broker="coinbase_advanced", secrets=secrets, address=address
    )
    credential = keys.store(wanted, now=factories.now()).credential
    Account.objects.filter(pk=account.pk).update(
        broker="coinbase_advanced",
        credential=credential,
        instant=False,
        broker_options={"read_timeout": 0.4, "requests_per_second": 1000.0, **options},
    )
    Standing.objects.update_or_create(account=account, defaults={"clean_at": factories.now()})
    return Account.objects.get(pk=account.pk)


@contextmanager
def opened(settings: LazySettings, folder: Path, **options: Any) -> Iterator[Desk]:
    """Open an exchange whose orders survive it, and a desk there."""
    settings.KEY_FILE = folder / "broker_keys"
    settings.MARKET_DATABASE_URL = "postgres://elsewhere"  # no ticks are stored: nothing to ask of them
    keyfile.create(settings.KEY_FILE)
    exchange = SimExchange(products=f"{SYMBOL}=100.00", rate=None, orders_file=str(folder / "orders.jsonl"))
    with exchange:
        yield Desk(exchange, **options)


# -- deaths ------------------------------------------------------------------------------------------------------------
def in_child(act: Callable[[], object], *, kill_when: Callable[[], object] | None = None, within: float = 20) -> int:
    """Run something in a forked process and return how it ended; killed with -9 as soon as `kill_when` holds.

    What it has committed stays, what it has not is lost, as when a worker dies.
    """
    connection.close()
    pid = os.fork()
    if not pid:  # pragma: no cover - another process
        _live_and_die(act)
    timer = threading.Timer(within, lambda: os.kill(pid, signal.SIGKILL))
    timer.start()
    try:
        if kill_when is not None:
            eventually(kill_when, within)
            os.kill(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        timer.cancel()


def _live_and_die(act: Callable[[], object]) -> None:
    status = 1
    try:
        act()
        status = 0
    finally:
        os._exit(status)


def dying_at(number: int, act: Callable[[], object]) -> Callable[[], None]:
    """Return the act as done by a process that dies instead of sending its statement of that number, from 0."""

    def run() -> None:
        seen = itertools.count()

        def die(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if next(seen) == number:
                os._exit(BROKEN)
            return execute(sql, params, many, context)

        connection.ensure_connection()
        with connection.execute_wrapper(die):
            act()

    return run


@contextmanager
def sweeper(folder: Path) -> Iterator[int]:
    """Run the real sweeper on the test's database; yields its pid once it leads. Killed with -9 in the end."""
    env = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "MARKET_DATABASE_URL": database_url(),
        "KEY_FILE": str(folder / "broker_keys"),
        "TRADINGSITE_VAR": str(folder),
        "DEMO": "0",
    }
    log = (folder / "sweeper.log").open("ab")
    argv = [sys.executable, str(ROOT / "manage.py"), "sweeper"]
    with log, subprocess.Popen(argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
        try:
            said = (folder / "sweeper.log").read_text
            eventually(lambda: _leads(process.pid), 40, said)
            yield process.pid
        finally:
            process.kill()


def _leads(pid: int) -> bool:
    return any(pulse.facts.get("leads") for pulse in Pulse.objects.filter(pid=pid))


def replaced(ticket: Ticket, **values: Any) -> Ticket:
    """Return a ticket with other values."""
    return replace(ticket, **values)
