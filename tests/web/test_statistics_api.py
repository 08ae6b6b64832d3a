"""Figures over the API: what is answered, to whom, and how wrong questions are refused."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.market import selectors as market
from apps.market.models import Instrument
from apps.market.store import Store
from apps.trading.models import Account
from apps.trading.services import accounts
from apps.trading.statistics import summary
from tests.web.conftest import Caller, drain, make_instrument, now, set_price

URL, EQUITY = "/api/v1/statistics", "/api/v1/statistics/equity"


@pytest.fixture
def stored(tick_store: Store) -> Iterator[None]:
    """The market store's tables, empty."""
    market.market_store.cache_clear()
    yield
    market.market_store().close()
    market.market_store.cache_clear()


def trade(caller: Caller, instrument: Instrument, price: str, out: str, **more: str) -> None:
    """Open at one price and leave at another."""
    set_price(instrument, Decimal(price))
    number = caller.open(instrument=instrument.symbol, stop_loss=None, **more)["id"]
    set_price(instrument, Decimal(out))
    assert caller.post(f"/api/v1/positions/{number}/close", {}).status_code == 202
    drain()


def test_what_trading_brought(ada: Caller, btc: Instrument) -> None:
    trade(ada, btc, "61800", "61900")
    trade(ada, btc, "61900", "61800", quantity="1")
    set_price(btc, Decimal("61800"))
    ada.open(quantity="0.25")
    set_price(btc, Decimal("61900"), at=now() - timedelta(seconds=90))
    found = ada.get(f"{URL}?by=month").json()
    (everything,) = [row for row in found["trades"] if row["by"] == "all"]
    assert (everything["number"], everything["wins"], everything["losses"]) == (2, 0, 2)
    assert Decimal(everything["total_pnl"]) == Decimal(everything["gross_pnl"]) - Decimal(everything["fees"])
    assert everything["win_rate"] == "0"
    assert {row["by"] for row in found["trades"]} == {"all", "instrument", "strategy", "period", "side", "reason"}
    (taken,) = found["books"]
    assert taken["deposits"] == "1000000"
    assert Decimal(taken["realised_pnl"]) == Decimal(everything["gross_pnl"])
    assert [row["method"] for row in found["matched"]] == ["fifo", "average"]
    assert found["fills"] == 5
    (lot,) = found["lots"]
    assert 90 <= lot["quote_age_seconds"] < 150
    assert found["open"][0]["unrealised_pnl"] == lot["unrealised_pnl"]
    assert found["latency"][0]["exits"] == 2


def test_an_account_through_time(ada: Caller, btc: Instrument, stored: None) -> None:
    trade(ada, btc, "61800", "61900")
    found = ada.get(EQUITY).json()
    assert found["seconds"] == 60
    last = found["points"][-1]
    cash = Decimal(ada.get("/api/v1/accounts").json()["results"][0]["balances"][0]["cash"])
    assert Decimal(last["equity"]) == cash
    assert last["origin"] == "rebuilt"
    assert Decimal(last["growth"]) < 1, "a deposit is no growth, and fees are a loss"
    assert found["max_drawdown"] == last["drawdown"]


def test_nobody_sees_the_trading_of_others(ada: Caller, bob: Caller, root: Caller, btc: Instrument) -> None:
    trade(bob, btc, "61800", "61900")
    theirs = Account.objects.get(owner=bob.user).pk
    found = ada.get(URL).json()
    assert (found["trades"], found["lots"], found["fills"]) == ([], [], 0)
    assert [row["deposits"] for row in found["books"]] == ["1000000"]
    for address in (f"{URL}?account={theirs}", f"{EQUITY}?account={theirs}"):
        assert ada.get(address).status_code == 404
    assert root.get(f"{URL}?account={theirs}").json()["fills"] == 2
    assert root.get(URL).json()["fills"] == 2


def test_filters_choose(ada: Caller, btc: Instrument) -> None:
    eth = make_instrument("ETH-USD", Decimal(2000))
    trade(ada, btc, "61800", "61900")
    trade(ada, eth, "2000", "2100")
    second = accounts.open_account(owner_id=ada.user.pk, name="second", deposit=Decimal(5), now=now())
    assert ada.get(f"{URL}?instrument=ETH-USD").json()["fills"] == 2
    assert ada.get(f"{URL}?account={second.pk}").json()["trades"] == []
    tomorrow = (now() + timedelta(days=1)).strftime("%Y-%m-%dT00:00:00Z")
    assert ada.get(f"{URL}?since={tomorrow}").json()["trades"] == []
    assert ada.get(f"{URL}?until={tomorrow}").json()["fills"] == 4


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?by=year", 400),
        ("?colour=red", 400),
        ("?by=day&by=week", 400),
        ("?since=2026-01-01", 400),
        ("?since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z", 400),
        ("?account=0", 400),
        ("?account=999999", 404),
        ("?instrument=NO-SUCH", 404),
        ("?strategy=999999", 404),
    ],
)
def test_a_wrong_question_is_refused(ada: Caller, query: str, status: int) -> None:
    answer = ada.get(f"{URL}{query}")
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_too_many_fills_are_not_matched_while_somebody_waits(
    ada: Caller, btc: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    trade(ada, btc, "61800", "61900")
    monkeypatch.setattr(summary, "MOST_FILLS", 1)
    found = ada.get(URL).json()
    assert (found["fills"], found["matched"]) == (2, None)


def test_a_longer_history_asks_no_more(ada: Caller, btc: Instrument) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert ada.get(URL).status_code == 200
        return len(seen)

    trade(ada, btc, "61800", "61900")
    few = asked()
    for _ in range(4):
        trade(ada, btc, "61800", "61900")
    ada.open(quantity="0.1")
    assert asked() == few
