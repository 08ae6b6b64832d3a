"""The first sign-in as a person sees it: password, second factor, recovery codes, a security key; and no page of the
site breaks its own content security policy.
"""

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

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PASSWORD = "a-long-enough-password"
PAGES = (
    "/admin/", "/admin/trading/position/", "/admin/trading/position/add/", "/admin/trading/account/",
    "/admin/trading/account/add/", "/admin/trading/restriction/add/", "/admin/trading/ledgerentry/",
    "/admin/market/instrument/", "/admin/market/instrument/add/", "/admin/strategies/strategy/add/",
    "/admin/backtests/run/add/", "/admin/journal/event/", "/admin/access/user/", "/admin/access/user/add/",
    "/admin/access/apitoken/add/", "/admin/django_celery_beat/periodictask/add/", "/admin/password_change/",
    "/account/sessions/", "/account/2fa/", "/account/2fa/webauthn/add/", "/account/2fa/recovery-codes/generate/",
    "/statistics", "/api/docs", "/no/such/page",
)  # fmt: skip
LISTEN = """
window.broken = [];
const note = (e) => window.broken.push(`${e.violatedDirective} ${e.blockedURI}`);
document.addEventListener("securitypolicyviolation", note);
"""


@pytest.fixture
def root(db: None, settings: Settings, tmp_path: Path, _migrated_store: str) -> User:
    settings.STATIC_ROOT = tmp_path
    settings.SECOND_FACTOR = "required"
    settings.DATABASE_URL = settings.MARKET_DATABASE_URL = _migrated_store
    return User.objects.create_superuser("root", password=PASSWORD)


@pytest.fixture
def page(root: User, live_server: LiveServer, browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(base_url=live_server.url, viewport={"width": 1200, "height": 850})
    opened.add_init_script(LISTEN)
    yield opened
    opened.close()


def sign_in(page: Page) -> None:
    page.goto("/admin/login/")
    page.fill("input[name=username]", "root")
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")


def code_of(secret: str, step: int) -> str:
    return totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30 + step))


def enrol(page: Page) -> str:
    page.click("text=Set up an authenticator app")
    secret = page.input_value("#authenticator_secret")
    page.fill("input[name=code]", code_of(secret, 0))
    page.click("#content button[type=submit]:has-text('Activate')")
    return secret


def shoot(page: Page, folder: Path, name: str) -> None:
    """Keep what the page looked like; with SCREENSHOTS set, where a person finds it."""
    page.screenshot(path=Path(os.environ.get("SCREENSHOTS", folder)) / f"{name}.png", full_page=True)


def test_the_first_sign_in_sets_up_a_second_factor_and_the_next_asks_for_it(page: Page, tmp_path: Path) -> None:
    page.goto("/admin/login/")
    shoot(page, tmp_path, "sign-in")
    sign_in(page)
    expect(page.locator(".told")).to_contain_text("This site requires one")
    shoot(page, tmp_path, "second-factor")
    page.goto("/admin/trading/position/")
    expect(page).to_have_url("http://" + page.url.split("/")[2] + "/account/2fa/")
    page.click("text=Set up an authenticator app")
    shoot(page, tmp_path, "authenticator")
    page.go_back()
    secret = enrol(page)
    expect(page.locator("#recovery_codes")).to_be_visible()
    assert len(page.input_value("#recovery_codes").split()) == 10
    shoot(page, tmp_path, "recovery-codes")
    page.goto("/admin/")
    expect(page.locator("h1, #desk").first).to_be_visible()
    page.context.clear_cookies()
    sign_in(page)
    page.fill("input[name=code]", "000000")
    page.click("button[type=submit]:has-text('Sign In')")
    expect(page.locator(".refused")).to_contain_text("not right")
    shoot(page, tmp_path, "code")
    page.fill("input[name=code]", code_of(secret, 1))
    page.click("button[type=submit]:has-text('Sign In')")
    expect(page.locator("#desk")).to_be_visible()


def test_a_security_key_signs_in(page: Page, tmp_path: Path) -> None:
    keys = page.context.new_cdp_session(page)
    keys.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "usb", "hasUserVerification": True, "isUserVerified": True}
    keys.send(
        "WebAuthn.addVirtualAuthenticator",
        {"options": {**options, "hasResidentKey": True, "automaticPresenceSimulation": True}},
    )
    sign_in(page)
    page.click("text=Add a security key")
    page.fill("input[name=name]", "Blue key")
    page.click("#mfa_webauthn_add")
    page.wait_for_url("**/recovery-codes/**")
    page.goto("/account/2fa/webauthn/")
    expect(page.locator("#content")).to_contain_text("Blue key")
    shoot(page, tmp_path, "security-keys")
    page.context.clear_cookies()
    sign_in(page)
    page.click("#mfa_webauthn_authenticate")
    expect(page.locator("#desk")).to_be_visible()


def test_no_page_breaks_the_policy_it_is_sent_with(page: Page, root: User, tmp_path: Path) -> None:
    sign_in(page)
    enrol(page)
    broken: dict[str, list[str]] = {}
    for address in PAGES:
        answer = page.goto(address)
        assert answer is not None
        assert answer.status in (200, 404), f"{address}: {answer.status}"
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["referrer-policy"] == "same-origin"
        found = page.evaluate("window.broken")
        if found:
            broken[address] = found
    assert broken == {}
    page.goto("/account/sessions/")
    shoot(page, tmp_path, "sessions")
    page.goto("/no/such/page")
    shoot(page, tmp_path, "not-found")


def test_the_listener_hears_a_page_that_breaks_its_policy(page: Page) -> None:
    page.goto("/admin/login/")
    page.evaluate("document.body.append(Object.assign(document.createElement('img'), {src: 'https://evil.example/x'}))")
    page.wait_for_function("window.broken.length > 0", timeout=5000)
