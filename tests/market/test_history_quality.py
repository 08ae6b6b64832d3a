"""The data-quality page shows what is covered, missing, stale and odd, to those who may see it, in a few queries."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from apps.access.models import User
from apps.market import selectors, store
from apps.market.models import Gap, Inspection, Instrument
from apps.market.services import gaps
from apps.market.store import Timeframe
from apps.market.store import candles as store_candles
from apps.market.store import ticks as store_ticks
from apps.market.store.candles import CandleRow
from tests import factories
from tests.market.history import at, put_candles, put_ticks, tick

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def coin(market: store.Store) -> Instrument:
    return factories.make_instrument(price=None)


@pytest.fixture
def desk(market: store.Store, settings: Settings, tmp_path: object) -> Client:
    settings.STATIC_ROOT = tmp_path
    browser = Client()
    browser.force_login(User.objects.create_superuser("root", password="long-enough-4-a-test"))
    return browser


def page(browser: Client) -> str:
    answer = browser.get(reverse("admin:market_inspection_changelist"))
    assert answer.status_code == 200
    return answer.content.decode()


def today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def test_a_day_with_a_gap_a_whole_day_and_a_day_without_anything_look_different(
    desk: Client, market: store.Store, coin: Instrument
) -> None:
    day = today() - timedelta(days=3)
    price = [Decimal(100)] * 4
    rows = [CandleRow(coin.pk, day + timedelta(minutes=n), *price, Decimal(1), 1) for n in range(2 * 1440) if n != 1500]
    store_candles.write(market, Timeframe.MINUTE, rows)
    gaps.look(coin, until=day + timedelta(days=2), now=day + timedelta(days=2))
    shown = page(desk)
    assert f"{day:%Y-%m-%d}: 1440 candles of a minute, nothing missing" in shown
    assert f"{day + timedelta(days=1):%Y-%m-%d}: 1439 candles of a minute, 60.0 s missing" in shown
    assert f"{day - timedelta(days=1):%Y-%m-%d}: nothing stored" in shown
    assert f"{day + timedelta(days=2):%Y-%m-%d}: nothing stored" in shown
    assert "heat-whole" in shown
    assert "heat-little" in shown


def test_gaps_and_staleness_and_a_job_that_does_not_run_are_shown(
    desk: Client, market: store.Store, coin: Instrument
) -> None:
    put_ticks(market, coin, (-0.5, 1), (0.25, 2), (0.75, 9), (1.5, 10), (2.5, 11))
    gaps.look(coin, since=at(0), until=at(2), now=at(3))
    shown = page(desk)
    assert "3 to 8" in shown
    assert "none yet" in shown
    factories.set_quote(coin, "100", at=at(0))
    assert "stale" in page(desk)
    factories.set_quote(coin, "100")
    assert "fresh" in page(desk)


def test_nothing_on_the_page_comes_from_elsewhere(desk: Client, coin: Instrument) -> None:
    assert "http://" not in page(desk).replace("http://www.w3.org", "")
    assert "https://" not in page(desk)


def test_trades_stored_twice_and_candles_far_off_are_counted_once_an_hour(
    desk: Client, market: store.Store, coin: Instrument
) -> None:
    put_candles(market, coin, range(5))
    price = [Decimal(value) for value in ("100", "125", "99", "100")]
    store_candles.write(market, Timeframe.MINUTE, [CandleRow(coin.pk, at(2), *price, Decimal(1), 1)])
    store_ticks.write(market, [tick(coin, 1, 7), tick(coin, 1.5, 7)])
    gaps.look(coin, until=at(5), now=at(6))
    found = Inspection.objects.get(pk=coin.pk)
    assert found.duplicates == 1
    assert found.outliers == [{"at": at(2).isoformat(), "low": "99", "high": "125", "before": "100", "after": "100"}]
    assert "from 99 to 125" in page(desk)
    store_ticks.write(market, [tick(coin, 3, 8), tick(coin, 3.5, 8)])
    gaps.look(coin, until=at(5), now=at(30))
    assert Inspection.objects.get(pk=coin.pk).duplicates == 1
    gaps.look(coin, until=at(5), now=at(90))
    assert Inspection.objects.get(pk=coin.pk).duplicates == 2


def test_who_may_not_see_it_does_not(coin: Instrument, desk: Client) -> None:
    user = User.objects.create_user("bob", password="long-enough-4-a-test", is_staff=True)
    browser = Client()
    browser.force_login(user)
    address = reverse("admin:market_inspection_changelist")
    assert browser.get(address).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_inspection"))
    assert browser.get(address).status_code == 200


def test_the_number_of_queries_does_not_grow_with_instruments(
    desk: Client, coin: Instrument, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(24):
        factories.make_instrument(f"SIM{number}-USD", price="1")
    with django_assert_max_num_queries(14):
        page(desk)


def test_with_the_store_away_the_page_says_so(desk: Client, coin: Instrument, settings: Settings) -> None:
    Gap.objects.create(instrument=coin, kind="candles", since=at(0), until=at(1), found_at=at(2))
    selectors.market_store.cache_clear()
    settings.MARKET_DATABASE_URL = "postgres://nobody@127.0.0.1:1/nothing"
    try:
        shown = page(desk)
    finally:
        selectors.market_store.cache_clear()
    assert "The market store did not answer" in shown


def test_the_list_of_gaps_and_of_coverage_open(desk: Client, coin: Instrument) -> None:
    row = Gap.objects.create(instrument=coin, kind="candles", since=at(0), until=at(1), found_at=at(2))
    for name, arguments in (("gap_changelist", []), ("gap_change", [row.pk]), ("coverage_changelist", [])):
        assert desk.get(reverse(f"admin:market_{name}", args=arguments)).status_code == 200
