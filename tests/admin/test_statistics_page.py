"""The page of statistics in the admin: what it shows, to whom, and the file it sends."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.access.models import User
from apps.market.models import Instrument
from apps.trading.models import Account, Position
from apps.trading.services import accounts
from apps.web import statistics_page
from tests.admin.conftest import LEGS, close, open_position, price_at

pytestmark = pytest.mark.django_db
Staff = Callable[..., tuple[User, Client]]
PAGE, FILE = "/statistics", "/statistics/disposals.csv"


@pytest.fixture
def account(root: User) -> Account:
    """An account that was opened an hour ago."""
    earlier = datetime.now(UTC) - timedelta(hours=1)
    return accounts.open_account(owner_id=root.pk, name="paper", deposit=Decimal(10_000_000), now=earlier)


@pytest.fixture
def traded(account: Account, btc: Instrument) -> Account:
    """Two lots left, at a profit and at a loss, and one open."""
    for price in ("62000", "61700"):
        price_at(btc, "61800")
        lot = open_position(account, btc)
        price_at(btc, price)
        close(lot)
    open_position(account, btc, *LEGS)
    return account


def text_of(browser: Client, query: str = "") -> str:
    answer = browser.get(f"{PAGE}{query}")
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_it_shows_what_trading_brought(desk: Client, traded: Account) -> None:
    page = text_of(desk)
    for words in ("Win rate", "50.00 %", "Profit factor", "By instrument", "BTC-USD", "by hand", "fifo", "average"):
        assert words in page, words
    assert page.count('<figure class="curves">') == 3
    assert f"#{Position.objects.filter(status='open').get().pk}" in page
    assert "rebuilt" in page
    assert reverse("statistics-disposals") in page


def test_an_empty_site_shows_an_empty_page(desk: Client) -> None:
    page = text_of(desk)
    assert "nothing was closed in these days" in page
    assert "Nothing is open." in page


@pytest.mark.usefixtures("traded")
def test_filters_choose_and_wrong_ones_are_said(desk: Client, account: Account, btc: Instrument) -> None:
    assert "nothing was closed" in text_of(desk, "?until=2020-01-01")
    assert "nothing was closed" not in text_of(desk, f"?account={account.pk}&instrument={btc.pk}&by=day")
    today = datetime.now(UTC).date().isoformat()
    assert "nothing was closed" not in text_of(desk, f"?since={today}&until={today}")
    for wrong in ("?account=999999", "?since=x", "?by=year", "?since=2026-02-01&until=2026-01-01", "?account=%00"):
        assert "Not all of this could be read" in text_of(desk, wrong)


@pytest.mark.usefixtures("traded")
def test_each_person_sees_their_own_accounts_and_needs_the_right_to_the_ledger(staff: Staff, account: Account) -> None:
    _, without = staff("clerk")
    assert without.get(PAGE).status_code == without.get(FILE).status_code == 403
    for address in (PAGE, FILE):
        answer = Client().get(address)
        assert (answer.status_code, answer.url.startswith("/admin/login/")) == (302, True)
    trader, browser = staff("trader", "trading.view_ledgerentry")
    page = text_of(browser)
    assert "nothing was closed" in page
    assert account.name not in page
    accounts.open_account(owner_id=trader.pk, name="hers", deposit=Decimal(10), now=datetime.now(UTC))
    assert "hers" in text_of(browser, f"?account={account.pk}")
    assert "nothing was closed" in text_of(browser, f"?account={account.pk}")
    theirs = {"account": account.pk, "year": 2026, "method": "fifo", "zone": "UTC", "long_after": 365}
    assert browser.get(FILE, theirs).status_code == 400


def wanted(whose: Account, **more: object) -> dict[str, object]:
    year = datetime.now(UTC).year
    return {"account": whose.pk, "year": year, "method": "fifo", "zone": "UTC", "long_after": 365, **more}


def test_the_button_sends_the_disposals_of_a_year(desk: Client, traded: Account) -> None:
    answer = desk.get(FILE, wanted(traded))
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert f"disposals-account-{traded.pk}-" in answer.headers["Content-Disposition"]
    found = list(csv.DictReader(io.StringIO(b"".join(answer).decode(), newline="")))
    assert [row["instrument"] for row in found] == ["BTC-USD", "BTC-USD"]
    for row in found:
        assert Decimal(row["gain"]) == Decimal(row["proceeds"]) - Decimal(row["cost"]) - Decimal(row["fees"])


@pytest.mark.parametrize(
    "wrong", [{"zone": "Mars"}, {"year": "0"}, {"method": "lifo"}, {"account": "x"}, {"long_after": "-1"}], ids=str
)
def test_a_wrong_wish_comes_back_with_its_errors(desk: Client, traded: Account, wrong: dict[str, object]) -> None:
    answer = desk.get(FILE, wanted(traded, **wrong))
    assert answer.status_code == 400
    assert "Save as CSV" in answer.content.decode()


def test_a_long_file_is_sent_in_blocks(desk: Client, traded: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = b"".join(desk.get(FILE, wanted(traded)))
    monkeypatch.setattr(statistics_page, "BLOCK", 10)
    pieces = list(desk.get(FILE, wanted(traded)))
    assert len(pieces) == 4, "the header, two disposals, and the end"
    assert b"".join(pieces) == whole


def test_a_longer_history_asks_no_more(desk: Client, traded: Account, btc: Instrument) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as seen:
            text_of(desk)
        return len(seen)

    few = asked()
    for _ in range(4):
        close(open_position(traded, btc))
        open_position(traded, btc)
    assert asked() == few
