"""Instruments, a market store, and ticks in it."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pytest_django import Settings

from apps.access.models import User
from apps.market import selectors, store
from apps.market.models import Instrument, Quote
from apps.market.store import partitions, ticks
from apps.market.store.tick_rows import TickRow
from apps.strategies import services
from apps.strategies.host.pool import POOL, Pool
from apps.strategies.models import Strategy
from apps.strategies.services import running
from apps.trading.models import Account
from apps.trading.services import accounts

NOW = datetime(2026, 1, 5, 12, 0, 31, tzinfo=UTC)  # the ten-second bar that began at 12:00:20 closed a second ago


@pytest.fixture
def market_store(_migrated_store: str, settings: Settings, transactional_db: None) -> Iterator[store.Store]:
    """The market store inside this test process's own database: numbers of instruments repeat in another one's."""
    settings.DATABASE_URL = settings.MARKET_DATABASE_URL = _migrated_store
    opened = selectors.market_store  # by its own name: a test may put another in its place
    opened.cache_clear()
    found = opened()
    partitions.ahead(found, NOW)
    yield found
    assert services.settle(30)
    found.close()
    opened.cache_clear()


@pytest.fixture(autouse=True)
def hosts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """Start without processes for plug-ins, wait for answers however busy the machine is, and leave none behind."""
    if "transactional_db" in request.fixturenames:
        request.getfixturevalue("transactional_db")  # whoever still waits has to write before the tables are emptied
    monkeypatch.setattr(running, "PATIENCE", 60.0)
    POOL.close()
    yield POOL
    assert services.settle(30)
    POOL.close()


@pytest.fixture
def instrument(market_store: store.Store) -> Instrument:
    return make_instrument("BTC-USD")


@pytest.fixture
def trade(market_store: store.Store) -> Callable[..., None]:
    """Store one trade in the middle of each of the last bars, oldest first, the last in the bar closed at NOW."""

    def write(instrument: Instrument, *prices: float, bar_seconds: int = 10, now: datetime = NOW) -> None:
        last = datetime.fromtimestamp((now.timestamp() - 1) // bar_seconds * bar_seconds, UTC)
        rows = []
        for back, price in enumerate(reversed(prices), 1):
            at = last - timedelta(seconds=bar_seconds * (back - 0.5))
            rows.append(row(instrument, at, price, trade_id=int(at.timestamp() * 10)))
        ticks.write(market_store, rows)

    return write


@pytest.fixture
def strategy(instrument: Instrument) -> Strategy:
    return make_strategy("Trend", "momentum", {"lookback": 2}, [instrument])


@pytest.fixture
def account(transactional_db: None) -> Account:
    owner = User.objects.create_user("owner", password="long-enough-4-a-test")
    return accounts.open_account(owner_id=owner.pk, name="paper", deposit=Decimal(10_000), now=NOW)


def make_instrument(symbol: str) -> Instrument:
    return Instrument.objects.create(
        symbol=symbol,
        base_currency=symbol[:3],
        quote_currency="USD",
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.001"),
        min_quantity=Decimal("0.001"),
    )


def make_strategy(name: str, plugin: str, parameters: object, instruments: Sequence[Instrument]) -> Strategy:
    made = Strategy.objects.create(
        name=name, plugin=plugin, parameters=parameters, bar_seconds=10, enabled=True, stage="paper"
    )
    made.instruments.set(instruments)
    return made


def quote(instrument: Instrument, price: str, at: datetime = NOW) -> Quote:
    value = Decimal(price)
    fields = {"price": value, "low": value, "high": value, "at": at, "received_at": at, "heard_at": at}
    return Quote.objects.update_or_create(instrument=instrument, defaults=fields)[0]


def row(instrument: Instrument, at: datetime, price: float, trade_id: int) -> TickRow:
    return TickRow(
        instrument_id=instrument.pk,
        at=at,
        received_at=at,
        trade_id=trade_id,
        price=str(price),
        size="1",
        side="buy",
        bid=None,
        ask=None,
        refilled=False,
    )
