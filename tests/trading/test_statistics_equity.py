"""An account through time: rows of the risk monitor where there are some, else the ledger and candles, and which."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from apps.market import selectors as market
from apps.market.models import Instrument
from apps.market.store import Store, Timeframe, candles, partitions
from apps.market.store.candles import CandleRow
from apps.trading import selectors
from apps.trading.models import Account, RiskMetric
from apps.trading.services import accounts
from apps.trading.statistics import equity
from apps.trading.statistics.rebuilding import Source
from tests import factories
from tests.factories import make_account, make_instrument, make_user, opened, set_quote

pytestmark = pytest.mark.django_db
D = Decimal
START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def stored(tick_store: Store) -> Iterator[Store]:
    market.market_store.cache_clear()
    yield market.market_store()
    market.market_store().close()
    market.market_store.cache_clear()


@pytest.fixture
def account(db: None) -> Account:
    """A thousand, paid in at ten."""
    found = accounts.open_account(owner_id=make_user().pk, name="paper", deposit=D(1000), now=START)
    Account.objects.filter(pk=found.pk).update(fee_rate=0, slippage_rate=0)
    return Account.objects.get(pk=found.pk)


@pytest.fixture
def btc(db: None) -> Instrument:
    return make_instrument(price=None)


def buy(account: Account, instrument: Instrument, minute: int, price: str, side: str = "long") -> None:
    at = START + minute * MINUTE
    set_quote(instrument, price, at=at)
    opened(account, instrument, at=at, side=side)


def candle(store: Store, instrument: Instrument, minute: int, close: str) -> None:
    at = START + minute * MINUTE
    partitions.ensure(store, partitions.CANDLES[Timeframe.MINUTE], at, at + MINUTE)
    row = CandleRow(instrument.pk, at, D(close), D(close), D(close), D(close), D(1), 1)
    candles.write(store, Timeframe.MINUTE, [row])


def metric(account: Account, minute: float, worth: str) -> None:
    amounts = dict.fromkeys(("cash", "gross", "net"), D(0))
    RiskMetric.objects.create(
        account=account, at=START + minute * MINUTE, equity=D(worth), peak=D(worth), day_start=D(worth), **amounts
    )


def curve(account: Account, minutes: int, since: int | None = None) -> equity.Curve:
    began = None if since is None else START + since * MINUTE
    return equity.of(account, now=START + minutes * MINUTE, since=began, until=None)


def test_recorded_points_stand_and_missing_ones_are_rebuilt(stored: Store, account: Account, btc: Instrument) -> None:
    buy(account, btc, 1, "100")
    candle(stored, btc, 1, "101")
    candle(stored, btc, 2, "110")
    metric(account, 3.1, "1111")
    metric(account, 3.9, "1234")
    candle(stored, btc, 3, "999")
    candle(stored, btc, 4, "90")
    found = curve(account, 6)
    assert found.width == MINUTE
    assert [(point.equity, str(point.source)) for point in found.points] == [
        (1000, "rebuilt"),
        (1001, "rebuilt"),
        (1010, "rebuilt"),
        (1234, "recorded"),
        (990, "rebuilt"),
        (990, "rebuilt"),  # nobody traded: the last close is carried on
    ]
    assert found.points[0].at == START + MINUTE
    assert found.points[0].deposits == 1000
    assert [point.growth for point in found.points][-1] == D("0.99")
    assert found.max_drawdown is not None
    assert round(found.max_drawdown, 12) == round(1 - D(990) / 1234, 12)
    assert found.count(Source.RECORDED) == 1


def test_without_candles_the_last_fill_prices_what_is_held_and_it_is_said(
    stored: Store, account: Account, btc: Instrument
) -> None:
    buy(account, btc, 1, "100", side="short")
    candle(stored, btc, 3, "80")
    found = curve(account, 4)
    assert [(point.equity, str(point.source)) for point in found.points] == [
        (1000, "rebuilt"),
        (1000, "estimated"),
        (1000, "estimated"),
        (1020, "rebuilt"),
    ]


def test_a_deposit_is_no_profit_and_a_withdrawal_no_fall(stored: Store, account: Account) -> None:
    accounts.pay_in(account_id=account.pk, amount=D(500), now=START + 2 * MINUTE)
    accounts.pay_in(account_id=account.pk, amount=D(-1200), now=START + 3 * MINUTE)
    found = curve(account, 5)
    assert [point.equity for point in found.points] == [1000, 1000, 1500, 300, 300]
    assert [point.deposits for point in found.points] == [1000, 0, 500, -1200, 0]
    assert {point.growth for point in found.points} == {1}
    assert found.max_drawdown == 0


def test_later_days_grow_from_the_point_before_them(stored: Store, account: Account, btc: Instrument) -> None:
    buy(account, btc, 1, "100")
    candle(stored, btc, 4, "150")
    candle(stored, btc, 5, "200")
    found = curve(account, 6, since=5)
    assert [(point.at, point.equity) for point in found.points] == [
        (START + 5 * MINUTE, 1050),
        (START + 6 * MINUTE, 1100),
    ]
    assert [round(point.growth, 12) for point in found.points] == [1, round(D(1100) / 1050, 12)]


def test_the_store_being_away_is_said_and_fills_stand_in(account: Account, btc: Instrument, settings: Settings) -> None:
    market.market_store.cache_clear()
    settings.MARKET_DATABASE_URL = "postgresql://nobody@127.0.0.1:1/nothing"
    buy(account, btc, 0, "100")
    found = curve(account, 1)
    market.market_store.cache_clear()
    assert found.trouble
    assert [str(point.source) for point in found.points] == ["estimated"]


def test_an_account_without_money_has_no_curve(account: Account) -> None:
    empty = make_account(make_user("poor"), deposit="0")
    assert curve(empty, 5).points == []
    assert curve(empty, 5).max_drawdown is None
    assert equity.of(account, now=START, since=None, until=START - MINUTE).points == []


@pytest.mark.parametrize(("days", "width"), [(1, 5), (5, 60), (300, 24 * 60), (1000, 3 * 24 * 60)])
def test_a_long_time_is_drawn_in_few_points(stored: Store, account: Account, days: int, width: int) -> None:
    found = curve(account, days * 24 * 60)
    assert found.width == width * MINUTE
    assert len(found.points) <= equity.MOST + 2
    assert found.points[-1].equity == 1000


def test_the_number_of_statements_does_not_grow(stored: Store, account: Account, btc: Instrument) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as seen:
            curve(account, 300)
        return len(seen)

    buy(account, btc, 1, "10")
    few = asked()
    for minute in range(2, 6):
        metric(account, minute, "1000")
        buy(account, make_instrument(f"C{minute}-USD", price=None), minute, "10")
    assert asked() == few == 4


def test_the_end_of_the_curve_is_what_the_books_say(stored: Store, account: Account, btc: Instrument) -> None:
    now = factories.now()
    set_quote(btc, "120", at=now)
    factories.opened(account, btc, at=now)
    (balance,) = selectors.balances([account.pk])[account.pk]
    last = equity.of(account, now=now + timedelta(seconds=5), since=now - MINUTE, until=None).points[-1]
    assert last.equity == balance.equity
