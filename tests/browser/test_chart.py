"""The candle chart of an instrument as a person sees it: drawn, kept up to date, in light and dark, wide and narrow."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from django.contrib.auth import get_user_model
from playwright.sync_api import Browser, Page, Request, expect

from apps.domain.errors import Refused
from apps.domain.legs import Leg, LegKind
from apps.domain.sides import Side
from apps.market.models import Instrument
from apps.trading.services import accounts, positions
from apps.trading.services.positions import NoQuote
from tests.flow import worlds
from tests.flow.worlds import World, eventually

pytestmark = pytest.mark.browser
SYMBOL = "BTC-USD"
PASSWORD = "a-long-enough-password"
# How many pixels of the chart have a colour of the page's own, within what anti-aliasing leaves.
PIXELS = """
(name) => {
    const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    probe.fillRect(0, 0, 1, 1);
    const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
    let found = 0;
    for (const canvas of document.querySelectorAll("#chart canvas")) {
        if (!canvas.width || !canvas.height) continue;
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        for (let i = 0; i < data.length; i += 4)
            found += data[i + 3] > 200
                && Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 12;
    }
    return found;
}
"""
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass
class Site:
    world: World
    instrument: Instrument
    address: str

    def chart(self, timeframe: str = "1m") -> str:
        return f"{self.address}/admin/market/instrument/{self.instrument.pk}/chart?timeframe={timeframe}"


@dataclass
class Watched:
    """A page, and everything that went wrong on it."""

    page: Page
    wrong: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.wrong.append(said.text))
        self.page.on("request", lambda asked: self.hosts.add(urlsplit(asked.url).netloc))
        self.page.on("requestfailed", self._failed)

    def _failed(self, asked: Request) -> None:
        if asked.failure != "net::ERR_ABORTED":  # given up because the person went on to another page
            self.wrong.append(f"{asked.failure} {asked.url}")

    def pixels(self, colour: str) -> int:
        return int(self.page.evaluate(PIXELS, colour))


@pytest.fixture(scope="module")
def site(make_world: Callable[[], World]) -> Site:
    """A site with three hours of candles, a price twenty times a second, and a position with a stop and a target."""
    world = make_world()
    world.open_exchange("--rate", "20", "--products", SYMBOL)
    (instrument,) = worlds.instruments(SYMBOL)
    since = datetime.now(UTC) - timedelta(hours=3)
    filled = world.manage("backfill", SYMBOL, "--since", since.isoformat())
    assert filled.returncode == 0, filled.stderr
    for name in ("listener", "sweeper", "web"):
        world.start(name)
    world.wait_for("listener", "sweeper")
    root = get_user_model()._default_manager.create_superuser("root", password=PASSWORD)
    account = accounts.open_account(owner_id=root.pk, name="paper", deposit=Decimal(10) ** 9, now=datetime.now(UTC))
    eventually(lambda: _open(account.pk, instrument))
    address = f"http://127.0.0.1:{world.ports['WEB_PORT']}"
    eventually(lambda: _answers(address))
    return Site(world, instrument, address)


def _open(account_id: int, instrument: Instrument) -> object:
    legs = (
        Leg(kind=LegKind.STOP_LOSS, level=Decimal(1)),
        Leg(kind=LegKind.TAKE_PROFIT, level=Decimal(10) ** 7),
    )
    wish = positions.Opening(
        account_id=account_id, instrument_id=instrument.pk, side=Side.LONG, quantity=Decimal(1), legs=legs
    )
    try:
        return positions.open_position(wish, now=datetime.now(UTC))
    except (NoQuote, Refused):
        return None


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/health/live", timeout=2).ok
    except requests.RequestException:
        return False


@pytest.fixture
def watched(site: Site, browser: Browser) -> Iterator[Watched]:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    found = Watched(page)
    page.goto(f"{site.address}/admin/login/")
    page.fill("input[name=username]", "root")
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit], input[type=submit]")
    page.goto(site.chart())
    yield found
    page.close()


def shoot(page: Page, folder: Path, name: str) -> None:
    """Keep what the page looked like; with SCREENSHOTS set, where a person finds it."""
    kept = Path(os.environ.get("SCREENSHOTS", folder))
    page.screenshot(path=kept / f"{name}.png", full_page=True)


def test_candles_are_drawn_in_light_and_dark_and_fit_a_narrow_screen(
    site: Site, watched: Watched, tmp_path: Path
) -> None:
    page = watched.page
    expect(page.locator("#chart-told")).to_contain_text("C ", timeout=15_000)
    for colour in ("--chart-up", "--chart-down", "--chart-out"):
        eventually(lambda colour=colour: watched.pixels(colour) > 100, 10)
    shoot(page, tmp_path, "chart-light")
    light = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--chart-up')")
    page.evaluate("document.documentElement.classList.add('dark')")
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--chart-up')") != light
    for colour in ("--chart-up", "--chart-down", "--chart-out"):
        eventually(lambda colour=colour: watched.pixels(colour) > 100, 10)
    shoot(page, tmp_path, "chart-dark")
    page.set_viewport_size({"width": 390, "height": 844})
    eventually(lambda: watched.pixels("--chart-up") > 50, 10)
    assert page.evaluate(WIDER) <= 0
    shoot(page, tmp_path, "chart-narrow")
    assert watched.wrong == []
    assert watched.hosts == {urlsplit(site.address).netloc}, "everything comes from the site itself"


def test_the_price_and_the_last_candle_keep_up_with_the_market(watched: Watched) -> None:
    page = watched.page
    told, price = page.locator("#chart-told"), page.locator("#figures .big").first
    expect(told).to_contain_text("C ", timeout=15_000)
    first, cost = told.inner_text(), price.inner_text()
    expect(told).not_to_have_text(first, timeout=10_000)
    expect(price).not_to_have_text(cost, timeout=10_000)
    expect(page.locator("#figures")).to_contain_text("live")
    assert watched.wrong == []


def test_another_length_of_candles_is_a_click_away(watched: Watched) -> None:
    page = watched.page
    page.click(".chart-frames a:has-text('5m')")
    expect(page.locator(".chart-frames a[aria-current]")).to_have_text("5m")
    expect(page.locator("#chart-told")).to_contain_text("C ", timeout=15_000)
    eventually(lambda: watched.pixels("--chart-up") + watched.pixels("--chart-down") > 100, 10)
    assert watched.wrong == []


def test_a_site_that_does_not_answer_is_told_and_the_chart_goes_on_when_it_does(site: Site, watched: Watched) -> None:
    page = watched.page
    told = page.locator("#chart-told")
    expect(told).to_contain_text("C ", timeout=15_000)
    page.context.set_offline(True)
    expect(told).to_contain_text("not up to date", timeout=10_000)
    page.context.set_offline(False)
    expect(told).to_contain_text("C ", timeout=10_000)
