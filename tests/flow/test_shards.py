"""Several listeners, each with instruments of its own: adding or moving one costs no restart and no price."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import cycle
from typing import Any

import pytest
import requests

from apps.domain.errors import Refused
from apps.domain.legs import Leg, LegKind
from apps.domain.sides import Side
from apps.journal.models import Lease
from apps.market import store
from apps.market.models import Instrument, Quote
from apps.market.store import ticks as store_ticks
from apps.trading.models import Account, Exit, Position
from apps.trading.services import positions
from apps.trading.services.positions import NoQuote
from tests.flow import worlds
from tests.flow.worlds import ROOT, Exchange, World, as_json, eventually

SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "ADA-USD")
CALM = ("100.00", "100.01", "100.02", "100.01")
DIPS = 30  # one print each, one every tenth of a second, while an instrument changes hands


class Market:
    """Calm prices of every product without a pause, and now and then one print that is meant."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._meant: dict[str, list[str]] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def print(self, symbol: str, price: str) -> None:
        """Let one trade happen at a price; the next one is calm again."""
        with self._lock:
            self._meant.setdefault(symbol, []).append(price)

    def close(self) -> None:
        self._ending.set()
        self._thread.join(10)

    def _run(self) -> None:
        with requests.Session() as session:
            for calm in cycle(CALM):
                if self._ending.wait(0.025):
                    return
                with self._lock:
                    meant, self._meant = self._meant, {}
                body = [{"product_id": s, "price": price} for s in SYMBOLS for price in [*meant.get(s, ()), calm]]
                session.post(f"{self._exchange.rest_url}/_sim/trades", json=body, timeout=10)


class Site:
    """Listeners of two shards at first; each is remembered by its pid, and its epoch never changes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.exchange = world.open_exchange("--rate", "none", "--products", ",".join(SYMBOLS))
        self.market = Market(self.exchange)
        self.account: Account = worlds.account()
        self.pids: dict[int, int] = {}
        for name in ("sweeper", "worker-exits"):
            world.start(name)

    def listen(self, shard: int) -> None:
        argv = (sys.executable, str(ROOT / "manage.py"), "listener", "--shard", str(shard))
        self.pids[shard] = self.world.spawn(f"listener-{shard}", argv, {}).pid

    def add(self, symbol: str, shard: int) -> Instrument:
        (made,) = worlds.instruments(symbol)
        self.move(made, shard)
        return made

    def move(self, instrument: Instrument, shard: int) -> None:
        Instrument.objects.filter(pk=instrument.pk).update(shard=shard)

    def open(self, instrument: Instrument, *legs: Leg) -> Position:
        wish = positions.Opening(
            account_id=self.account.pk, instrument_id=instrument.pk, side=Side.LONG, quantity=Decimal(1), legs=legs
        )

        def attempt() -> Position | None:
            try:
                return positions.open_position(wish, now=datetime.now(UTC)).position
            except (NoQuote, Refused):  # no fresh price yet
                return None

        found: Position = eventually(attempt)
        return found

    def closed_at(self, position: Position, price: str, shard: int) -> None:
        """Assert that a position is left once, at this very print, by the listener of this shard."""
        eventually(lambda: Position.objects.get(pk=position.pk).status == "closed", 10)
        exit_ = Exit.objects.get(position=position)
        assert exit_.trigger_price == Decimal(price)
        assert (exit_.source, exit_.epoch) == ("listener", self.epoch(shard))

    def epoch(self, shard: int) -> int:
        return Lease.objects.get(pk=f"listener:{shard}").epoch

    def runs_on(self) -> None:
        """Assert that every listener is still the process it was, and leads under its first epoch."""
        for shard in self.pids:
            assert self.world.running[f"listener-{shard}"].poll() is None, self.world.log(f"listener-{shard}")
            assert self.epoch(shard) == 1

    def calm(self, instrument: Instrument) -> None:
        """Wait for a quote of the calm market."""
        eventually(lambda: Quote.objects.filter(instrument=instrument, price__gte=100).exists())


@pytest.fixture(scope="module")
def site(make_world: Callable[[], World]) -> Iterator[Site]:
    made = Site(make_world())
    with closing(made.market):
        made.add("BTC-USD", 0)
        made.add("ETH-USD", 1)
        made.listen(0)
        made.listen(1)
        made.world.wait_for("listener-0", "listener-1", "sweeper", "worker-exits")
        yield made


def stop(level: str) -> Leg:
    return Leg(kind=LegKind.STOP_LOSS, level=Decimal(level))


def instrument(symbol: str) -> Instrument:
    return Instrument.objects.get(symbol=symbol)


def test_a_stop_closes_on_either_shard_by_the_listener_of_that_shard(site: Site) -> None:
    btc, eth = site.open(instrument("BTC-USD"), stop("95")), site.open(instrument("ETH-USD"), stop("95"))
    site.market.print("BTC-USD", "94.90")
    site.market.print("ETH-USD", "94.80")
    site.closed_at(btc, "94.90", 0)
    site.closed_at(eth, "94.80", 1)
    site.runs_on()


def test_an_instrument_that_is_added_while_they_run_is_followed_by_its_shard(site: Site) -> None:
    sol = site.open(site.add("SOL-USD", 1), stop("95"))
    site.market.print("SOL-USD", "94.70")
    site.closed_at(sol, "94.70", 1)
    site.runs_on()


def test_a_shard_that_is_added_while_they_run_takes_its_instruments(site: Site) -> None:
    xrp = site.add("XRP-USD", 2)
    assert not Quote.objects.filter(instrument=xrp).exists()
    site.listen(2)
    held = site.open(xrp, stop("95"))
    site.market.print("XRP-USD", "94.60")
    site.closed_at(held, "94.60", 2)
    site.runs_on()


@pytest.mark.parametrize(("symbol", "shard"), [("ETH-USD", 0), ("BTC-USD", 2), ("SOL-USD", 0)])
def test_no_print_is_missed_while_an_instrument_moves_to_another_shard(site: Site, symbol: str, shard: int) -> None:
    """A ladder of stops, each touched by one print only, before, during and after the move."""
    moving = instrument(symbol)
    held = [site.open(moving, stop(str(level))) for level in _levels()]
    trailing = site.open(moving, Leg(kind=LegKind.TRAILING_STOP, trail=Decimal("9")))
    site.calm(moving)
    for number, level in enumerate(_levels()):
        if number == 5:
            site.move(moving, shard)
        site.market.print(symbol, str(level))
        site.market.print(symbol, str(Decimal("100.10") + number * Decimal("0.01")))
        threading.Event().wait(0.1)
    for position, level in zip(held, _levels(), strict=True):
        eventually(lambda p=position: Position.objects.get(pk=p.pk).status == "closed", 10)
        exit_ = Exit.objects.get(position=position)
        assert (exit_.trigger_price, exit_.source) == (level, "listener")
    site.market.print(symbol, "91.00")
    site.closed_at(trailing, "91.00", shard)
    assert Exit.objects.get(position=trailing).peak == Decimal("100.10") + (DIPS - 1) * Decimal("0.01")
    eventually(lambda: _moved(site, moving, shard))
    site.runs_on()


def _levels() -> list[Decimal]:
    return [Decimal(98) - number * Decimal("0.1") for number in range(DIPS)]


def _moved(site: Site, moving: Instrument, shard: int) -> bool:
    """Say whether only the listener of its new shard follows an instrument."""
    followers: dict[str, Any] = {}
    quote = Quote.objects.get(instrument=moving)
    followers["epoch"] = quote.epoch == site.epoch(shard)
    followers["heard"] = site.exchange.listeners(moving.symbol) == 1
    return all(followers.values())


def test_every_trade_is_stored_once_and_every_invariant_holds(site: Site) -> None:
    site.market.close()
    market = store.connect(site.world.database_url)
    with closing(market):
        for row in Instrument.objects.filter(symbol__in=[*SYMBOLS]):
            eventually(lambda row=row: not _missing(site, market, row), 10, lambda row=row: _told(site, market, row))
    checked = site.world.manage("verify", "--json")
    assert checked.returncode == 0, checked.stdout
    assert as_json(checked.stdout)["ok"] is True
    site.runs_on()


def _missing(site: Site, market: store.Store, row: Instrument) -> set[int]:
    """Return the trades after the first stored one that happened and are not stored."""
    now = datetime.now(UTC)
    stored = [tick.trade_id for tick in store_ticks.between(market, row.pk, now - timedelta(hours=1), now)]
    assert len(stored) == len(set(stored))
    happened = {trade["trade_id"] for trade in site.exchange.trades(row.symbol, 0.0)}
    return {one for one in happened if one > min(stored)} - set(stored)


def _told(site: Site, market: store.Store, row: Instrument) -> str:
    missing = sorted(_missing(site, market, row))
    return f"{row}: {len(missing)} trades from {missing[:1]} to {missing[-1:]}"
