"""Lists over the API: pages, filters, and a number of queries that does not grow."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.journal.models import Event
from apps.market.models import Instrument, Quote
from apps.trading.services import accounts
from tests.web.conftest import Caller, drain, make_instrument, now, set_price

URL = "/api/v1/positions"


def ids(answer: Any) -> list[int]:
    return [row["id"] for row in answer.json()["results"]]


def test_pages_follow_each_other_without_gap_or_repeat(ada: Caller) -> None:
    opened = [ada.open()["id"] for _ in range(5)]
    pages = [ada.get(f"{URL}?limit=2&offset={offset}").json() for offset in (0, 2, 4, 6)]
    assert [page["total"] for page in pages] == [5] * 4
    assert [row["id"] for page in pages for row in page["results"]] == opened[::-1]
    assert (pages[1]["limit"], pages[1]["offset"]) == (2, 2)


def test_filters_narrow_the_list(ada: Caller) -> None:
    make_instrument("ETH-USD")
    first, second, third = ada.open(), ada.open(side="short", stop_loss=None), ada.open(instrument="ETH-USD")
    ada.post(f"{URL}/{first['id']}/close")
    drain()
    assert ids(ada.get(f"{URL}?status=closed")) == [first["id"]]
    assert ids(ada.get(f"{URL}?status=open")) == [third["id"], second["id"]]
    assert ids(ada.get(f"{URL}?side=short")) == [second["id"]]
    assert ids(ada.get(f"{URL}?instrument=ETH-USD&status=open&side=long")) == [third["id"]]
    assert ids(ada.get(f"{URL}?instrument=NONE-USD")) == []
    assert len(ids(ada.get(f"{URL}?account={first['account']}"))) == 3
    assert ada.get(f"/api/v1/exits?position={first['id']}").json()["total"] == 1
    assert [row["position"] for row in ada.get("/api/v1/exits?reason=api").json()["results"]] == [first["id"]]
    assert ada.get("/api/v1/exits?status=triggered").json()["total"] == 0
    assert ada.get("/api/v1/exits?instrument=ETH-USD").json()["total"] == 0


@pytest.mark.parametrize(
    "path", [URL, "/api/v1/exits", "/api/v1/accounts", "/api/v1/instruments", "/api/v1/quotes", "/api/v1/events"]
)
def test_the_number_of_queries_does_not_grow_with_the_list(ada: Caller, path: str) -> None:
    def grow(start: int, count: int) -> None:
        for number in range(start, start + count):
            make_instrument(f"X{number}-USD")
            id_ = ada.open(instrument=f"X{number}-USD", take_profit="65000", quantity="0.01")["id"]
            ada.post(f"{URL}/{id_}/close")
            accounts.open_account(owner_id=ada.user.pk, name=f"extra {number}", deposit=Decimal(5), now=now())
        drain()

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert len(ada.get(path).json()["results"]) > 0
        return len(queries)

    grow(0, 2)
    ada.get(path)
    few = count()
    grow(2, 6)
    assert count() == few
    assert few <= 8


def test_balances_follow_from_the_ledger(ada: Caller, btc: Instrument) -> None:
    first = ada.open(quantity="2")
    set_price(btc, Decimal("62800"))
    (balance,) = ada.get("/api/v1/accounts").json()["results"][0]["balances"]
    entry = Decimal(first["entry_price"])
    cost, fee = entry * 2, Decimal(first["fees"])
    assert balance["currency"] == "USD"
    assert Decimal(balance["deposits"]) == 1_000_000
    assert Decimal(balance["holdings"]) == cost
    assert Decimal(balance["cash"]) == 1_000_000 - cost - fee
    assert Decimal(balance["fees"]) == fee
    assert Decimal(balance["unrealised_pnl"]) == 62800 * 2 - cost
    assert Decimal(balance["equity"]) == 1_000_000 - fee + 62800 * 2 - cost
    ada.post(f"{URL}/{first['id']}/close")
    drain()
    closed = ada.get(f"{URL}/{first['id']}").json()
    (balance,) = ada.get("/api/v1/accounts").json()["results"][0]["balances"]
    assert Decimal(balance["pnl"]) == Decimal(closed["realised_pnl"]) > 0
    assert Decimal(balance["equity"]) == Decimal(balance["cash"])
    assert Decimal(balance["cash"]) == 1_000_000 + Decimal(closed["realised_pnl"]) - Decimal(closed["fees"])


def test_a_short_gains_as_the_price_falls(ada: Caller, btc: Instrument) -> None:
    got = ada.open(side="short", stop_loss=None)
    set_price(btc, Decimal("60000"))
    (balance,) = ada.get("/api/v1/accounts").json()["results"][0]["balances"]
    assert Decimal(balance["unrealised_pnl"]) == (Decimal(got["entry_price"]) - 60000) * Decimal("0.5")


def test_without_a_price_the_equity_is_unknown_not_wrong(ada: Caller) -> None:
    ada.open()
    Quote.objects.all().delete()
    (balance,) = ada.get("/api/v1/accounts").json()["results"][0]["balances"]
    assert balance["equity"] is None
    assert balance["unrealised_pnl"] is None


def test_a_settled_ledger_reads_the_same_after_it_was_carried_forward(ada: Caller) -> None:
    ada.open()
    before = ada.get("/api/v1/accounts").json()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO trading_balance (account_id, currency, through, cash, holdings, fees, pnl, capital) "
            "SELECT account_id, currency, max(id), sum(cash), sum(holdings), sum(fees), sum(pnl), sum(capital) "
            "FROM trading_ledgerentry WHERE kind = 'deposit' GROUP BY account_id, currency"
        )
    assert ada.get("/api/v1/accounts").json() == before


def test_quotes_say_whether_they_are_fresh(ada: Caller, btc: Instrument) -> None:
    (row,) = ada.get("/api/v1/quotes?instrument=BTC-USD").json()["results"]
    assert (row["price"], row["fresh"]) == ("61800", True)
    Quote.objects.update(heard_at="2020-01-01T00:00:00Z", received_at="2020-01-01T00:00:00Z")
    assert ada.get("/api/v1/quotes").json()["results"][0]["fresh"] is False


def test_instruments_show_their_grid(ada: Caller) -> None:
    (row,) = ada.get("/api/v1/instruments").json()["results"]
    assert (row["symbol"], row["tick_size"], row["lot_size"], row["min_quantity"]) == (
        "BTC-USD",
        "0.01",
        "0.00000001",
        "0.0001",
    )


# --- events -----------------------------------------------------------------------------------------------------------
def test_events_are_read_onwards_and_backwards_without_gap(ada: Caller) -> None:
    for _ in range(4):
        ada.open()
    everything = list(Event.objects.order_by("id").values_list("id", flat=True))
    onwards, after = [], 0
    while page := ada.get(f"/api/v1/events?after={after}&limit=2").json():
        if not page["results"]:
            break
        onwards += [row["id"] for row in page["results"]]
        after = page["next"]["after"]
    assert onwards == everything
    newest = ada.get("/api/v1/events?limit=3").json()
    older = ada.get(f"/api/v1/events?limit=100&before={newest['next']['before']}").json()
    assert [row["id"] for row in newest["results"] + older["results"]] == everything[::-1]


def test_an_event_tells_what_happened_and_who_asked(ada: Caller) -> None:
    got = ada.open()
    (row,) = ada.get(f"/api/v1/events?kind=position.created&subject=position:{got['id']}").json()["results"]
    assert row["payload"]["entry_price"] == got["entry_price"]
    assert (row["account"], row["subject"]) == (got["account"], f"position:{got['id']}")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=1&before=2", "before"),
        ("after=x", "after"),
        ("before=-1", "before"),
        ("offset=1", "offset"),
        ("kind=%00", "kind"),
        ("kind=A", "kind"),
        ("subject=x", "subject"),
        ("subject=a:%0A", "subject"),
    ],
)
def test_a_bad_event_query_is_refused(ada: Caller, query: str, field: str) -> None:
    answer = ada.get(f"/api/v1/events?{query}")
    assert answer.status_code == 400
    assert field in [error["field"] for error in answer.json()["errors"]]
