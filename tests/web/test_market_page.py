"""The chart page of an instrument: what it says, who may see it, and that it asks no other host for anything."""

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from apps.market.models import Instrument, Quote
from tests.web.conftest import make_user

CHARTS = Path(__file__).resolve().parents[2] / "apps/web/static/charts"
TEMPLATES = CHARTS.parents[1] / "templates"


@pytest.fixture
def desk(btc: Instrument) -> Client:
    user = make_user("watcher", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_instrument"))
    browser = Client()
    browser.force_login(user)
    return browser


def page(browser: Client, query: str = "") -> str:
    answer = browser.get(f"/admin/market/instrument/{Instrument.objects.get().pk}/chart/{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_it_says_the_price_the_spread_and_where_candles_come_from(desk: Client) -> None:
    Quote.objects.update(bid="61799.5", ask="61800.25")
    text = page(desk)
    for expected in ("61800", "0.75", "61799.5 / 61800.25", "fresh", 'data-symbol="BTC-USD"', 'data-step="0.01"'):
        assert expected in text
    assert 'data-candles="/api/v1/market/candles"' in text


@pytest.mark.parametrize(("query", "seconds"), [("", 60), ("?timeframe=1h", 3600), ("?timeframe=2w", 60)])
def test_the_length_of_a_candle_is_chosen_in_the_address(desk: Client, query: str, seconds: int) -> None:
    assert f'data-seconds="{seconds}"' in page(desk, query)


def test_before_the_first_price_it_says_so(desk: Client) -> None:
    Quote.objects.all().delete()
    assert "no price yet" in page(desk)


def test_it_is_for_who_may_see_instruments(btc: Instrument) -> None:
    browser = Client()
    browser.force_login(make_user("nobody", is_staff=True))
    assert browser.get(f"/admin/market/instrument/{btc.pk}/chart/").status_code == 403
    assert Client().get(f"/admin/market/instrument/{btc.pk}/chart/").status_code == 302


def test_an_instrument_that_is_not_there_is_a_404(desk: Client) -> None:
    assert desk.get("/admin/market/instrument/999999/chart/").status_code == 404


def test_its_scripts_are_our_own_files(desk: Client) -> None:
    ours = [src for src in re.findall(r'src="([^"]+)"', page(desk)) if "unfold" not in src]
    assert ours == ["/static/charts/lightweight-charts.js", "/static/desk/chart.js"]
    for address in [*ours, "/static/desk/chart.css"]:
        answer = desk.get(address)
        assert answer.status_code == 200, address
        answer.close()


def test_the_chart_library_comes_with_its_licence() -> None:
    assert "Apache License" in (CHARTS / "LICENSE").read_text()
    assert "Licensed under Apache License 2.0" in (CHARTS / "lightweight-charts.js").read_text()[:400]
    # Its logo would bring a style that the policy of the pages forbids: its author is named beside the chart instead.
    for page_of in ("admin/market/instrument/chart.html", "desk/instrument.html"):
        assert "https://www.tradingview.com/" in (TEMPLATES / page_of).read_text()
