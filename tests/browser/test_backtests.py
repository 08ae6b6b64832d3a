"""From a file to paper in a browser: a strategy is set up, backtested with live progress, read, compared, promoted."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from django.contrib.auth import get_user_model
from playwright.sync_api import Browser, Page, expect

from apps.backtests.models import Run
from apps.journal.models import Event
from apps.strategies.models import Strategy
from tests.browser.test_chart import PASSWORD, WIDER, Watched, shoot
from tests.flow import worlds
from tests.flow.worlds import World, eventually

pytestmark = pytest.mark.browser
SYMBOL = "BTC-USD"


@pytest.fixture(scope="module")
def address(make_world: Callable[[], World]) -> str:
    """A site with six hours of candles and a worker."""
    world = make_world()
    world.open_exchange("--rate", "5", "--products", SYMBOL)
    worlds.instruments(SYMBOL)
    since = datetime.now(UTC) - timedelta(hours=6)
    filled = world.manage("backfill", SYMBOL, "--since", since.isoformat())
    assert filled.returncode == 0, filled.stderr
    for name in ("worker-backtests", "web"):
        world.start(name)
    world.wait_for("worker-backtests")
    get_user_model()._default_manager.create_superuser("root", password=PASSWORD)
    found = f"http://127.0.0.1:{world.ports['WEB_PORT']}"
    eventually(lambda: _answers(found), explain=lambda: world.log("web"))
    return found


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/health/live", timeout=2).ok
    except requests.RequestException:
        return False


def sign_in(browser: Browser, address: str) -> Watched:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    watched = Watched(page)
    page.goto(f"{address}/admin/login/")
    page.fill("input[name=username]", "root")
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit], input[type=submit]")
    page.wait_for_url("**/admin/")
    return watched


def set_up(page: Page, address: str) -> None:
    """Add a strategy over momentum whose look back is three bars."""
    page.goto(f"{address}/admin/strategies/strategy/add/")
    page.fill("#id_name", "From the browser")
    page.select_option("#id_plugin", "momentum")
    expect(page.locator("#id_parameter_lookback")).to_have_value("10")
    expect(page.locator("#id_name")).to_have_value("From the browser")
    page.fill("#id_parameter_lookback", "3")
    page.fill("#id_bar_seconds", "300")
    page.click("input[name=_continue], button[name=_continue]")
    page.wait_for_url(re.compile(r"/strategy/\d+/change/"))


def run_backtest(page: Page, stop: str) -> None:
    page.click("text=Run a backtest")
    page.check("input[name=instruments]")
    page.fill("#id_stop_loss", stop)
    page.click("button:has-text('Run it')")
    page.wait_for_url(re.compile(r"/run/\d+/change/"))
    expect(page.locator(".run-head .tag").first).to_have_text(re.compile("done|failed"), timeout=180_000)
    assert page.locator("#run .refused").all_inner_texts() == []


def test_a_strategy_on_its_way_to_paper(address: str, tmp_path: Path, browser: Browser) -> None:
    watched = sign_in(browser, address)
    page = watched.page
    set_up(page, address)
    strategy_page = page.url
    run_backtest(page, "2")
    expect(page.locator(".curves path")).to_have_count(1)
    shoot(page, tmp_path, "run-light")
    page.evaluate("document.documentElement.classList.add('dark')")
    shoot(page, tmp_path, "run-dark")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(WIDER) <= 0
    page.set_viewport_size({"width": 1280, "height": 900})

    page.click("text=Read the report")
    expect(page.locator("h1")).to_contain_text("From the browser on BTC-USD")
    page.goto(strategy_page)
    run_backtest(page, "3")

    page.goto(f"{address}/admin/backtests/run/")
    expect(page.locator("img[alt=Equity]")).to_have_count(2)
    eventually(lambda: page.evaluate("[...document.images].every((one) => one.complete && one.naturalWidth > 0)"), 10)
    shoot(page, tmp_path, "runs")
    for box in page.locator("input.action-select").all():
        box.check()
    page.select_option("select[name=action]", "compare")
    page.click("button[name=index]")
    expect(page.locator(".compared")).to_contain_text("stop loss")
    shoot(page, tmp_path, "compare")

    page.goto(f"{address}/admin/backtests/run/add/")
    expect(page.locator("#id_bar_seconds")).to_have_value("60")
    page.select_option("#id_strategy", label="From the browser")
    expect(page.locator("#id_bar_seconds")).to_have_value("300")

    page.goto(strategy_page)
    page.click("a:has-text('Stage')")
    page.click("text=Override")
    page.fill("#id_reason", "a try in a test")
    page.click("text=Override the gate")
    expect(page.locator(".ladder .here")).to_have_text("backtested")
    shoot(page, tmp_path, "gate")
    assert watched.wrong == []
    assert watched.hosts == {address.removeprefix("http://")}, "everything comes from the site itself"
    page.close()


def test_what_the_browser_did_is_in_the_rows(address: str) -> None:
    """After the page is closed: a browser that is open keeps Django from its rows."""
    strategy = Strategy.objects.get()
    assert (strategy.plugin, strategy.parameters, strategy.stage) == ("momentum", {"lookback": 3}, "backtested")
    runs = list(Run.objects.order_by("pk"))
    assert [run.state for run in runs] == ["done", "done"]
    assert [run.conventions["stop_loss"] for run in runs] == [0.02, 0.03]
    assert all(run.bars > 50 for run in runs)
    assert Event.objects.get(kind="strategy.overruled").payload["reason"] == "a try in a test"
