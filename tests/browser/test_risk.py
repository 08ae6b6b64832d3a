"""A risk limit in a browser: made on its form, it refuses an entry, and the refusal says why."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import requests
from django.contrib.auth import get_user_model
from django.test import Client
from playwright.sync_api import Browser, Page, expect

from apps.market.models import Instrument
from apps.trading.models import Account
from apps.trading.services import accounts, monitoring
from tests import factories
from tests.browser.test_chart import PASSWORD, WIDER, Watched, shoot
from tests.flow.worlds import World, eventually

pytestmark = pytest.mark.browser


@dataclass
class Site:
    address: str
    account: Account
    instrument: Instrument
    session: str  # of a superuser who is signed in


@pytest.fixture
def site(make_world: Callable[[], World]) -> Site:
    """A site of web pages alone: an account with a lot and some measures, and a price of this moment."""
    world = make_world()
    world.start("web", SECOND_FACTOR="offered")
    root = get_user_model()._default_manager.create_superuser("root", password=PASSWORD)
    now = datetime.now(UTC)
    account = accounts.open_account(owner_id=root.pk, name="paper", deposit=Decimal(1_000_000), now=now)
    instrument = factories.make_instrument("ETH-USD", "2000")
    factories.opened(account, instrument, factories.stop("1500"), quantity="20")
    for minute, price in enumerate((2000, 2010, 1990, 1960, 1985), -5):
        factories.set_quote(instrument, str(price), at=now + timedelta(minutes=30))  # no feed: it is to stay fresh
        monitoring.monitor(now.replace(second=0) + minute * timedelta(minutes=1))
    address = f"http://127.0.0.1:{world.ports['WEB_PORT']}"
    eventually(lambda: _answers(address), explain=lambda: world.log("web"))
    client = Client()
    client.force_login(root)
    return Site(address, account, instrument, client.cookies["sessionid"].value)


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/health/live", timeout=2).ok
    except requests.RequestException:
        return False


def test_a_limit_is_made_an_entry_is_refused_and_the_reasons_are_read(
    site: Site, tmp_path: Path, browser: Browser
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    context.add_cookies([{"name": "sessionid", "value": site.session, "url": site.address}])
    page = context.new_page()
    page.set_default_timeout(15_000)
    watched = Watched(page)
    make_a_limit(page, site, tmp_path)
    be_refused(page, site, tmp_path)
    read_the_gauges(page, site, tmp_path)
    assert watched.wrong == []


def make_a_limit(page: Page, site: Site, tmp_path: Path) -> None:
    """Make a limit on a form whose fields follow the rule that is chosen."""
    page.goto(f"{site.address}/admin/trading/risklimit/add/")
    page.select_option("select[name=rule]", "max_order_value")
    amount = page.locator("input[name=parameter_amount]")
    expect(amount).to_be_visible()
    amount.fill("5000")
    page.select_option("select[name=where]", f"account:{site.account.pk}")
    shoot(page, tmp_path, "risk-limit-form")
    page.click("input[name=_save], button[name=_save]")
    expect(page.locator("#result_list, .result-list, table").first).to_contain_text("account paper")
    shoot(page, tmp_path, "risk-limits")


def be_refused(page: Page, site: Site, tmp_path: Path) -> None:
    """Enter beyond the limit: refused beside the form, and in the list of decisions one click from the reasons."""
    page.goto(f"{site.address}/admin/trading/position/add/")
    page.fill("input[name=quantity]", "3")
    page.select_option("select[name=account]", str(site.account.pk))
    page.select_option("select[name=instrument]", str(site.instrument.pk))
    page.click("form.sheet button[type=submit]")
    expect(page.locator(".refused").first).to_contain_text("max_order_value")
    page.goto(f"{site.address}/admin/trading/decision/?approved__exact=0")
    expect(page.get_by_text("refused").first).to_be_visible()
    shoot(page, tmp_path, "decisions")
    page.locator("a[href*='/trading/decision/'][href*='/change/']").first.click()
    why = page.locator("#content-main")
    for words in ("Why not", "max order value", "price * quantity <= amount", "5000", "choose a smaller quantity"):
        expect(why).to_contain_text(words)
    shoot(page, tmp_path, "decision")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(WIDER) <= 0
    page.set_viewport_size({"width": 1280, "height": 900})


def read_the_gauges(page: Page, site: Site, tmp_path: Path) -> None:
    """The gauges show the limit on what is held as a bar with a number and a word."""
    page.goto(f"{site.address}/admin/trading/risklimit/add/?rule=max_gross_exposure")
    page.fill("input[name=parameter_rate]", "0")
    page.fill("input[name=parameter_amount]", "45000")
    page.click("input[name=_save], button[name=_save]")
    page.goto(f"{site.address}/gauges")
    gauges = page.locator(".gauges")
    expect(gauges).to_contain_text("near")
    expect(gauges).to_contain_text("88.")
    expect(page.locator("figure.curves")).to_have_count(3)
    shoot(page, tmp_path, "risk")
    page.evaluate("document.documentElement.classList.add('dark')")
    shoot(page, tmp_path, "risk-dark")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(WIDER) <= 0
    shoot(page, tmp_path, "risk-narrow")
