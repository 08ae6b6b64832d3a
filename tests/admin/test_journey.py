"""Two people in a browser: one who is not staff comes to the desk; one who is changes a limit and reads why."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from allauth.mfa.totp.internal import auth as totp
from playwright.sync_api import Browser, Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from apps.access.models import User
from apps.trading.models import RiskLimit
from tests.browser.conftest import browser

__all__ = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PASSWORD = "a-long-enough-password"


@pytest.fixture
def people(transactional_db: None, settings: Settings) -> RiskLimit:
    settings.SECOND_FACTOR = "required"
    User.objects.create_user("zoe", password=PASSWORD)
    User.objects.create_superuser("root", password=PASSWORD)
    return RiskLimit.objects.create(rule="max_drawdown", parameters={"rate": 0.2})


@pytest.fixture
def site(people: RiskLimit, live_server: LiveServer, browser: Browser) -> Iterator[Browser]:
    yield browser
    for context in browser.contexts:
        context.close()


def comes(browser: Browser, live_server: LiveServer, name: str, wanted: str) -> Page:
    """Open a page as somebody who is not signed in, and sign in."""
    page = browser.new_context(base_url=live_server.url, viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    page.goto(wanted)
    assert page.url.startswith(f"{live_server.url}/account/login/?next=")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    return page


def code_of(secret: str, step: int) -> str:
    return totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30 + step))


def enrols(page: Page, wanted: str) -> str:
    page.click("text=Set up an authenticator app")
    secret = page.input_value("#authenticator_secret")
    page.fill("input[name=code]", code_of(secret, 0))
    page.click("#content button[type=submit]:has-text('Activate')")
    expect(page.locator("#recovery_codes")).to_be_visible()
    page.goto(wanted)
    return secret


def shoot(page: Page, folder: Path, name: str) -> None:
    """Keep what the page looked like; with SCREENSHOTS set, where a person finds it."""
    page.screenshot(path=Path(os.environ.get("SCREENSHOTS", folder)) / f"{name}.png", full_page=True)


def test_everybody_signs_in_on_one_page_and_a_change_of_a_limit_is_kept_with_its_reason(
    site: Browser, people: RiskLimit, live_server: LiveServer, tmp_path: Path
) -> None:
    zoe = comes(site, live_server, "zoe", "/")
    shoot(zoe, tmp_path, "1-enrol")
    enrols(zoe, "/")
    expect(zoe).to_have_url(f"{live_server.url}/desk/")
    shoot(zoe, tmp_path, "2-desk")
    zoe.goto("/admin/trading/risklimit/")
    expect(zoe.locator("h1")).to_have_text("The admin is for staff")
    shoot(zoe, tmp_path, "3-not-staff")
    zoe.goto("/account/password/")
    shoot(zoe, tmp_path, "4-password")
    zoe.goto("/admin/")
    zoe.click("text=Sign in as somebody else")
    expect(zoe).to_have_url(f"{live_server.url}/account/login/")
    shoot(zoe, tmp_path, "5-sign-in")

    limits = "/admin/trading/risklimit/"
    secret = enrols(comes(site, live_server, "root", limits), limits)
    root = comes(site, live_server, "root", f"{limits}{people.pk}/change/")
    expect(root.locator("h1")).to_be_visible()
    shoot(root, tmp_path, "6-code")
    root.fill("input[name=code]", code_of(secret, 1))
    root.click("button[type=submit]:has-text('Sign In')")
    root.fill("input[name=parameter_rate]", "0.1")
    root.click("button[name=_save]")
    expect(root.get_by_text("This field is required")).to_be_visible()
    shoot(root, tmp_path, "7-why")
    root.fill("input[name=change_reason]", "a bad week")
    root.click("button[name=_save]")
    expect(root).to_have_url(f"{live_server.url}{limits}")
    shoot(root, tmp_path, "8-limits")
    root.goto(f"{limits}{people.pk}/history/")
    for words in ("root", "rate 0.2", "rate 0.1", "a bad week"):
        expect(root.locator("#content-main")).to_contain_text(words)
    shoot(root, tmp_path, "9-history")
    for name, address in SHOWN.items() if os.environ.get("SCREENSHOTS") else ():
        root.goto(address)
        shoot(root, tmp_path, name)


SHOWN = {
    "a-glance": "/admin/",
    "b-changes": "/admin/access/change/",
    "c-import": "/admin/trading/risklimit/import-csv/",
    "d-tasks": "/admin/django_celery_beat/periodictask/",
    "e-task": "/admin/django_celery_beat/periodictask/add/",
    "f-crontab": "/admin/django_celery_beat/crontabschedule/add/",
    "g-account": "/account/sessions/",
    "h-instruments": "/admin/market/instrument/",
}
