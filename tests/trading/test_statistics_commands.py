"""`manage.py statistics` and `manage.py taxes` as a person calls them."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from apps.domain import taxes
from apps.market import selectors as market
from apps.market.models import Instrument
from apps.market.store import Store
from apps.trading.models import Account, Fill
from tests import factories
from tests.factories import make_account, make_instrument, make_user
from tests.trading.test_statistics import leave, rounds

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def account(tick_store: Store) -> Iterator[Account]:
    market.market_store.cache_clear()
    yield make_account(fee_rate="0.001")
    market.market_store().close()
    market.market_store.cache_clear()


@pytest.fixture
def btc(db: None) -> Instrument:
    return make_instrument()


def said(name: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(name, stdout=out, **options)
    return out.getvalue()


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def year() -> int:
    return factories.now().year


def test_each_disposal_is_a_line_that_adds_up(account: Account, btc: Instrument) -> None:
    rounds(account, btc, ("1", "100", "110"), ("2", "100", "90"))
    rounds(account, btc, ("1", "100", "90"), side="short")
    found = rows(said("taxes", account=account.pk, year=year()))
    assert list(found[0]) == list(taxes.HEADER)
    assert [row["side"] for row in found] == ["long", "long", "short"]
    assert [row["gain"] for row in found] == ["9.79", "-20.38", "9.81"]
    for row in found:
        assert D(row["gain"]) == D(row["proceeds"]) - D(row["cost"]) - D(row["fees"])
        assert (row["term"], row["currency"]) == ("short-term", "USD")
    assert sum(D(row["fees"]) for row in found) == sum(fill.fee for fill in Fill.objects.all())


def test_both_methods_have_the_same_sum_and_other_years_have_none(account: Account, btc: Instrument) -> None:
    first = factories.opened(account, btc, quantity="1")
    rounds(account, btc, ("2", "120", "130"))
    leave(first, "140")
    fifo, average = (
        rows(said("taxes", account=account.pk, year=year(), method=method)) for method in ("fifo", "average")
    )
    assert [row["cost"] for row in fifo] != [row["cost"] for row in average]
    assert sum(D(row["gain"]) for row in fifo) == sum(D(row["gain"]) for row in average)
    assert rows(said("taxes", account=account.pk, year=year() - 1)) == []


def test_a_name_that_is_a_formula_is_disarmed(account: Account) -> None:
    rounds(account, make_instrument("=1+1-USD"), ("1", "100", "110"))
    (row,) = rows(said("taxes", account=account.pk, year=year()))
    assert row["instrument"] == "'=1+1-USD"


def test_the_file_is_whole_or_not_there(account: Account, btc: Instrument, tmp_path: Path) -> None:
    rounds(account, btc, ("1", "100", "110"))
    path = tmp_path / "disposals.csv"
    told = said("taxes", account=account.pk, year=year(), output=str(path), zone="Europe/Berlin")
    assert "1 disposals of paper" in told
    assert [row["time_zone"] for row in rows(path.read_bytes().decode())] == ["Europe/Berlin"]
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(CommandError, match="cannot be written"):
        said("taxes", account=account.pk, year=year(), output=str(tmp_path / "none" / "x.csv"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"account": 999_999}, "there is none"),
        ({"year": 1}, "from 1970"),
        ({"zone": "Mars/Olympus"}, "time zone"),
        ({"zone": "../etc/passwd"}, "time zone"),
        ({"long_after": -1}, "0 days or more"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(account: Account, options: dict[str, Any], words: str) -> None:
    with pytest.raises(CommandError, match=words) as refusal:
        said("taxes", **{"account": account.pk, "year": 2026, **options})
    assert refusal.value.returncode == 2


def test_statistics_are_said_in_words_and_in_json(account: Account, btc: Instrument) -> None:
    rounds(account, btc, ("1", "100", "110"), ("1", "100", "95"))
    text = said("statistics", account=account.pk)
    for words in ("Closed lots", "Profit by the books", "fifo", "average", "Tick to close", "Equity in USD", "by hand"):
        assert words in text
    found = json.loads(said("statistics", account=account.pk, json=True, by="day"))
    (everything,) = [row for row in found["trades"] if row["by"] == "all"]
    assert (everything["number"], everything["total_pnl"], everything["win_rate"]) == (2, "4.595", "0.5")
    assert found["equity"]["points"][-1]["equity"] == "1000004.595"
    assert {row["realised_pnl"] for row in found["matched"]} == {"5"}


def test_statistics_take_the_same_filters_as_the_page(account: Account, btc: Instrument) -> None:
    rounds(account, btc, ("1", "100", "110"))
    make_instrument("ETH-USD")
    today = factories.now().date().isoformat()
    for options, fills in (({"instrument": "ETH-USD"}, 0), ({"since": today}, 2), ({"until": "2020-01-01"}, 0)):
        assert json.loads(said("statistics", account=account.pk, json=True, **options))["fills"] == fills
    for options, words in (
        ({"instrument": "NONE"}, "of that symbol"),
        ({"strategy": "none"}, "of that name"),
        ({"since": "yesterday"}, "write it like"),
    ):
        with pytest.raises(CommandError, match=words):
            said("statistics", account=account.pk, **options)


def test_an_empty_account_has_nothing_to_say_and_says_so(account: Account) -> None:
    empty = make_account(make_user("poor"), deposit="0")
    text = said("statistics", account=empty.pk)
    assert "nothing was ever paid in" in text
    assert text.count("none") == 6
    assert rows(said("taxes", account=empty.pk, year=datetime.now(UTC).year)) == []
