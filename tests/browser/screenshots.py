"""Pictures of every page, light and dark, wide and narrow: `python -m tests.browser.screenshots FOLDER`.

Without `--address` a site of its own is started with its demo, looked at, and ended again.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).parents[2]
WIDTHS = {"wide": (1440, 900), "narrow": (390, 844)}
THEMES = ("light", "dark")
LISTS = (
    "",
    "positions",
    "instruments",
    "orders",
    "strategies",
    "risk",
    "exits",
    "backtests",
    "discrepancies",
    "system",
    "reports",
)
DESK = {name or "overview": f"/desk/{name}" for name in LISTS} | {
    "stop": "/desk/stop",
    "preferences": "/desk/preferences",
}
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# A page of one thing, and where the first link to one is found.
FIRST = {
    "instrument": ("/desk/instruments", "a[href^='/desk/instruments/']"),
    "order": ("/desk/orders", "a[href^='/desk/orders/']"),
    "decision": ("/desk/orders", "a[href^='/desk/decisions/']"),
    "close": ("/desk/positions", "a[id^='close-']"),
    "levels": ("/desk/positions", "a[id^='levels-']"),
    "switch": ("/desk/strategies", "a[id^='switch-']"),
}
SETTLING = 1.2  # seconds in which a page draws what it draws


def main(words: list[str] | None = None) -> int:
    """Take the pictures; return how many pages were wider than the screen, failed, or said that something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--address", default="", help="a site that runs; without it one is started")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default="")
    parser.add_argument("--only", default="", help="a pattern that the names of pages match")
    parser.add_argument(
        "--warm", type=float, default=20, help="seconds a site of its own trades before it is looked at"
    )
    given = parser.parse_args(words)
    given.folder.mkdir(parents=True, exist_ok=True)
    program = shutil.which("chromium")
    if program is None:
        parser.error("chromium is not installed: apt-get install chromium")
    with site(given.address, given.password, given.warm) as (address, password), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            return shoot(browser, address, given.user, password, given.folder, given.only)
        finally:
            browser.close()


@contextmanager
def site(address: str, password: str, warm: float) -> Iterator[tuple[str, str]]:
    """Yield the address of a site and its password: the one named, or one that lives as long as this."""
    if address:
        yield address.rstrip("/"), password
        return
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "up.log"
        own = {"TRADINGSITE_VAR": folder, "DATABASE_URL": "", "REDIS_URL": "", "TRADINGSITE_EMBEDDED": ""}
        ports = {"WEB_PORT": "0", "FLOWER_PORT": "0", "SIMULATOR_PORT": "0"}
        with said.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "up", "--headless"],
                cwd=ROOT,
                env={**os.environ, **own, **ports},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            while "Ready in" not in said.read_text():
                assert process.poll() is None, said.read_text()
                time.sleep(0.2)
            time.sleep(warm)
            found = re.search(r"password '([^']+)'", said.read_text())
            assert found, "the site named no password"
            parts = urlsplit(str(json.loads((Path(folder) / "up.lock").read_text())["address"]))
            yield f"{parts.scheme}://{parts.netloc}", found[1]
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)


def shoot(browser: Browser, address: str, user: str, password: str, folder: Path, only: str) -> int:
    """Look at every page in every look."""
    wrong = 0
    state = signed_in(browser, address, user, password)
    for theme in THEMES:
        for width, (across, down) in WIDTHS.items():
            context = browser.new_context(
                storage_state=state, color_scheme=theme, viewport={"width": across, "height": down}
            )
            wrong += look(context, address, folder, f"{theme}-{width}", only)
            context.close()
    return wrong


def look(context: BrowserContext, address: str, folder: Path, look_name: str, only: str) -> int:
    page, wrong = context.new_page(), 0
    page.on("pageerror", lambda error: print(f"  script: {error}"))
    page.on("console", lambda said: said.type == "error" and print(f"  console: {said.text}"))
    for name, path in found_pages(page, address).items():
        if not re.search(only, name):
            continue
        answer = page.goto(address + (path or first_of(page, address, name)))
        time.sleep(SETTLING)
        page.screenshot(path=folder / f"{name}-{look_name}.png", full_page=True)
        status, wider = answer.status if answer else 0, page.evaluate(WIDER)
        trouble = [f"status {status}"] * (status != 200) + [f"{wider} px too wide"] * (wider > 0)
        wrong += bool(trouble)
        print(f"{name} {look_name} {' '.join(trouble)}".strip(), flush=True)
    return wrong


def first_of(page: Page, address: str, name: str) -> str:
    """Return the address of the first thing of a kind that there is now, or of their list."""
    path, link = FIRST[name]
    page.goto(address + path)
    first = page.query_selector(link)
    return (first.get_attribute("href") if first else None) or path


def signed_in(browser: Browser, address: str, user: str, password: str) -> object:
    """Sign in through the form and return the cookies."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}/desk/")
    page.fill("input[type=password]", password)
    page.fill("input[autocomplete=username], input[name=username], input[name=login]", user)
    page.press("input[type=password]", "Enter")
    page.wait_for_url(re.compile("/desk/"), timeout=15_000)
    state = context.storage_state()
    context.close()
    return state


def found_pages(page: Page, address: str) -> dict[str, str]:
    """Return the pages of the desk, and those that the admin's sidebar leads to."""
    found = dict(DESK)
    found |= dict.fromkeys(FIRST, "")
    page.goto(f"{address}/admin/")
    for link in page.query_selector_all("#nav-sidebar a, nav a, aside a"):
        path = urlsplit(link.get_attribute("href") or "").path
        if path.startswith("/") and not path.startswith("/desk") and "log" not in path:
            found.setdefault("admin-" + (path.strip("/").replace("/", "-") or "home"), path)
    return found


if __name__ == "__main__":
    sys.exit(min(main(), 1))
