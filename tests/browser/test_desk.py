"""The desk as people use it: watch a position close by itself, amend a stop, stop trading and allow it again."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client
from playwright.sync_api import Browser, Locator, Page, expect

from apps.domain.errors import Refused
from apps.domain.legs import LegKind
from apps.domain.restrictions import Scope
from apps.market.models import Instrument
from apps.strategies.models import Strategy
from apps.trading.models import Account, ExitLeg, Position, Restriction, RiskLimit
from apps.trading.services import accounts, positions
from apps.trading.services.positions import NoQuote
from tests import factories
from tests.browser.screenshots import DESK
from tests.browser.test_chart import WIDER, Watched, shoot
from tests.flow import worlds
from tests.flow.worlds import Exchange, World, eventually

pytestmark = pytest.mark.browser
PASSWORD = "a-long-enough-password"
SYMBOL = "BTC-USD"
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
# What axe calls serious: somebody cannot read or reach something.
WRONG = """
async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
    .filter((found) => ["serious", "critical"].includes(found.impact))
    .map((found) => [found.id, ...found.nodes.slice(0, 3).map((n) => `${n.target} ${n.failureSummary}`)].join(" | "))
"""


@dataclass
class Site:
    world: World
    exchange: Exchange
    address: str
    account: Account
    seen: Account  # the viewer's
    instrument: Instrument
    sessions: dict[str, str]

    def sign_in(self, page: Page, name: str = "root") -> None:
        page.context.add_cookies([{"name": "sessionid", "value": self.sessions[name], "url": self.address}])


def elsewhere(work: Callable[[], Any]) -> Any:
    """Do something in the database while a browser is open: its thread has an event loop, which Django refuses."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found, "it failed in its thread"
    return found[0]


@pytest.fixture(scope="module")
def site(make_world: Callable[[], World]) -> Site:
    """A site with an exchange that trades when told to, two people, and a position that waits for its levels."""
    world = make_world()
    exchange = world.open_exchange("--rate", "none", "--products", f"{SYMBOL}=100.00")
    (instrument,) = worlds.instruments(SYMBOL)
    for name in ("listener", "sweeper"):
        world.start(name)
    world.start("web", SECOND_FACTOR="offered")
    world.wait_for("listener", "sweeper")
    people = get_user_model()._default_manager
    root = people.create_superuser("root", password=PASSWORD)
    viewer = people.create_user("viewer", password=PASSWORD)
    account = accounts.open_account(owner_id=root.pk, name="nest egg", deposit=Decimal(10) ** 8, now=datetime.now(UTC))
    seen = accounts.open_account(owner_id=viewer.pk, name="looked at", deposit=Decimal(10) ** 8, now=datetime.now(UTC))
    Strategy.objects.create(name="calm", plugin="sma_cross", stage="paper", enabled=True)
    RiskLimit.objects.create(rule="max_drawdown", scope=Scope.ACCOUNT, target=account.pk)
    address = f"http://127.0.0.1:{world.ports['WEB_PORT']}"
    eventually(lambda: _answers(address), explain=lambda: world.log("web"))
    sessions = {}
    for person in (root, viewer):
        client = Client()
        client.force_login(person)
        sessions[person.username] = client.cookies["sessionid"].value
    return Site(world, exchange, address, account, seen, instrument, sessions)


def opened(exchange: Exchange, account: Account, instrument: Instrument) -> Position:
    """Open a long of 1 at a price of now, which is 100, with a stop at 90 and a target at 120."""

    def attempt() -> Position | None:
        exchange.push(SYMBOL, "100")
        wish = factories.wish(account, instrument, factories.stop("90"), factories.target("120"))
        try:
            return positions.open_position(wish, now=datetime.now(UTC)).position
        except (NoQuote, Refused):
            return None

    return eventually(attempt)


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/health/live", timeout=2).ok
    except requests.RequestException:
        return False


@pytest.fixture
def watched(site: Site, browser: Browser) -> Iterator[Watched]:
    page = browser.new_page(viewport={"width": 1360, "height": 900}, color_scheme="light")
    site.sign_in(page)
    yield Watched(page)
    page.context.close()


def row(page: Page, position: Position) -> Any:
    return page.locator(f"tr[data-held='{position.pk}']")


def test_a_position_opens_moves_and_closes_before_ones_eyes(site: Site, watched: Watched, tmp_path: Path) -> None:
    page = watched.page
    page.goto(f"{site.address}/desk/positions")
    expect(page.locator("#contact")).to_have_attribute("data-contact", "live", timeout=10_000)
    position = elsewhere(lambda: opened(site.exchange, site.account, site.instrument))
    expect(row(page, position)).to_be_visible(timeout=5_000)
    site.exchange.push(SYMBOL, "104")
    expect(row(page, position).locator("[data-price]")).to_have_text("104", timeout=5_000)
    expect(row(page, position).locator("[data-gain]")).to_contain_text("+", timeout=5_000)
    shoot(page, tmp_path, "desk-positions")
    site.exchange.push(SYMBOL, "121")
    expect(row(page, position)).to_have_count(0, timeout=10_000)
    expect(page.locator("#closed-scroll")).to_contain_text(f"#{position.pk} long {SYMBOL}", timeout=5_000)
    expect(page.locator("#closed-scroll tr", has_text=f"#{position.pk} ")).to_contain_text("take profit")
    assert watched.wrong == []


def test_levels_are_amended_by_typing_and_by_dragging(site: Site, watched: Watched, tmp_path: Path) -> None:
    page = watched.page
    position = elsewhere(lambda: opened(site.exchange, site.account, site.instrument))
    page.goto(f"{site.address}/desk/positions")
    page.click(f"#levels-{position.pk}")
    expect(page.locator("#dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#dialog")).to_be_hidden()
    page.click(f"#levels-{position.pk}")
    page.fill("#dialog #id_stop_loss", "92")
    page.click("#dialog button:has-text('Save')")
    expect(page.locator(".banner-good")).to_contain_text("stop loss")
    expect(row(page, position)).to_contain_text("stop 92")
    page.goto(f"{site.address}/desk/instruments/{site.instrument.pk}")
    handle = page.locator(f"#handle-target-{position.pk}")
    expect(handle).to_be_visible(timeout=15_000)
    x, y = held(page, handle)
    page.mouse.move(x, y + 25, steps=5)  # the price is in the middle, below
    shoot(page, tmp_path, "desk-drag")
    page.mouse.up()
    expect(page.locator("#dialog")).to_contain_text("Change the take profit from 120 to")
    assert elsewhere(lambda: level(position, LegKind.TAKE_PROFIT)) == 120, "a drag alone changes nothing"
    wanted = page.input_value("#dialog #id_take_profit")
    page.click("#dialog button:has-text('Save')")
    expect(page.locator(".banner-good")).to_be_visible()
    assert elsewhere(lambda: level(position, LegKind.TAKE_PROFIT)) == Decimal(wanted) != 120
    assert elsewhere(lambda: level(position, LegKind.STOP_LOSS)) == 92
    assert watched.wrong == []


def held(page: Page, handle: Locator) -> tuple[float, float]:
    """Press the mouse on a handle and return where; what still moves with the chart is tried again."""

    def attempt() -> tuple[float, float] | None:
        before = handle.bounding_box()
        page.wait_for_timeout(200)
        box = handle.bounding_box()
        if box is None or box != before:
            return None
        x, y = box["x"] + 20, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        if "handle-moving" in (handle.get_attribute("class") or ""):
            return x, y
        page.mouse.up()
        return None

    found: tuple[float, float] = eventually(attempt)
    return found


def level(position: Position, kind: LegKind) -> Decimal:
    return ExitLeg.objects.get(position=position, kind=kind, status="live").level


def test_the_kill_switch_takes_two_steps_and_a_person_lets_trading_go_on(
    site: Site, watched: Watched, tmp_path: Path
) -> None:
    page = watched.page
    page.goto(f"{site.address}/desk/")
    page.keyboard.press("x")
    fire = page.locator("#dialog [data-armed]")
    expect(fire).to_be_visible()
    page.keyboard.press("x")
    expect(fire).to_be_disabled()
    page.fill("#dialog #id_reason", "too wild")
    page.keyboard.press("Enter")
    shoot(page, tmp_path, "desk-stop")
    assert elsewhere(lambda: list(Restriction.objects.all())) == [], "neither the key nor Enter stops anything"
    page.check("#dialog #id_sure")
    fire.click()
    expect(page.locator("#trading-state")).to_contain_text("halted")
    page.click("#trading-state a")
    expect(page.locator("#stopped")).to_contain_text("too wild")
    page.click("#stopped a:has-text('Allow again')")
    if "reauthenticate" in page.url:
        page.fill("input[type=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/desk/allow/*")
    page.fill("#id_reason", "calm again")
    page.click("button:has-text('Allow trading again')")
    expect(page.locator("#trading-state")).to_contain_text("active")
    assert elsewhere(lambda: list(Restriction.objects.all())) == []
    assert watched.wrong == []


def test_a_viewer_sees_and_cannot_trade(site: Site, watched: Watched) -> None:
    page = watched.page
    position = elsewhere(lambda: opened(site.exchange, site.seen, site.instrument))
    site.sign_in(page, "viewer")
    page.goto(f"{site.address}/desk/positions")
    expect(page.locator("tr[data-held]")).to_have_count(1)
    expect(row(page, position)).to_be_visible()
    expect(page.locator("text=looked at").first).to_be_visible()
    for name in ("#stop", "[id^=close-]", "[id^=levels-]", "a[href^='/admin/']"):
        expect(page.locator(name)).to_have_count(0)
    page.keyboard.press("x")
    expect(page.locator("#dialog")).to_be_hidden()


def test_it_says_at_once_when_it_is_not_up_to_date(site: Site, watched: Watched, tmp_path: Path) -> None:
    page = watched.page
    page.goto(f"{site.address}/desk/")
    expect(page.locator("#contact")).to_have_attribute("data-contact", "live", timeout=10_000)
    page.context.set_offline(True)
    expect(page.locator("#stale")).to_contain_text("Not up to date", timeout=3_000)
    shoot(page, tmp_path, "desk-stale")
    page.context.set_offline(False)
    expect(page.locator("#stale")).to_be_hidden(timeout=20_000)


def test_keys_lead_to_pages_and_every_key_is_told(site: Site, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{site.address}/desk/")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("p")
    page.wait_for_url("**/desk/positions")
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_every_page_can_be_read_by_everybody_and_fits_every_screen(site: Site, browser: Browser) -> None:
    elsewhere(lambda: opened(site.exchange, site.account, site.instrument))
    found: list[str] = []
    addresses = [*DESK.values(), f"/desk/instruments/{site.instrument.pk}"]
    for scheme, width in (("light", 1360), ("dark", 390)):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        site.sign_in(page)
        watched = Watched(page)
        for address in addresses:
            page.goto(site.address + address)
            page.evaluate(AXE.read_text())
            found += [f"{address} {scheme}: {wrong}" for wrong in page.evaluate(WRONG)]
            if page.evaluate(WIDER) > 0:
                found.append(f"{address} is wider than {width} px")
        found += watched.wrong
        page.context.close()
    assert found == [], "\n".join(found)
