"""Market data over the API: filters, pages, tags of content, exact numbers, and who may change an instrument."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.access.models import Scope
from apps.journal.models import Event
from apps.market import selectors
from apps.market.models import Instrument, Quote
from apps.market.store import Store, Timeframe, candles, ticks
from apps.market.store.candles import CandleRow
from apps.market.store.tick_rows import TickRow
from apps.market.store.timeframes import floor
from tests.web.conftest import Caller, caller_for, make_instrument, make_user, now

URL = "/api/v1/market"
MINUTE = timedelta(minutes=1)
START = floor(datetime.now(UTC), timedelta(hours=1)) - timedelta(hours=3)


@pytest.fixture
def stored(db: None, tick_store: Store) -> Iterator[Store]:
    """The market store, empty before and after."""
    selectors.market_store.cache_clear()
    yield tick_store
    with tick_store.engine.begin() as link:
        link.exec_driver_sql("TRUNCATE market.candles")
    selectors.market_store().close()
    selectors.market_store.cache_clear()


def keep_minutes(store: Store, instrument: Instrument, count: int, start: datetime = START) -> None:
    rows = [
        CandleRow(instrument.pk, start + n * MINUTE, "100", str(101 + n), "99.5", f"100.{n:03}1", "2.5", 3)
        for n in range(count)
    ]
    candles.write(store, Timeframe.MINUTE, rows)


def keep_ticks(store: Store, instrument: Instrument, at: datetime, prices: list[str]) -> None:
    rows = [
        TickRow(
            at=at + timedelta(milliseconds=10 * (n // 2)),
            received_at=at,
            trade_id=n + 1,
            instrument_id=instrument.pk,
            refilled=False,
            price=Decimal(price),
            size=Decimal("0.5"),
            side="buy",
            bid=None,
            ask=None,
        )
        for n, price in enumerate(prices)
    ]
    assert ticks.write(store, rows) == len(prices)


def symbols(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row.get("symbol") or row["instrument"] for row in answer.json()["results"]]


# --- instruments and quotes -------------------------------------------------------------------------------------------
@pytest.fixture
def four(ada: Caller) -> Caller:
    for symbol in ("ETH-USD", "ETH-EUR", "ACME"):
        make_instrument(symbol)
    Instrument.objects.filter(symbol="ACME").update(calendar="XNYS", enabled=False, quote_currency="USD")
    return ada


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["ACME", "BTC-USD", "ETH-EUR", "ETH-USD"]),
        ("prefix=ETH", ["ETH-EUR", "ETH-USD"]),
        ("currency=EUR", ["ETH-EUR"]),
        ("enabled=false", ["ACME"]),
        ("enabled=true&currency=USD", ["BTC-USD", "ETH-USD"]),
        ("calendar=XNYS", ["ACME"]),
        ("calendar=24/7&prefix=E&limit=1&offset=1", ["ETH-USD"]),
        ("prefix=NONE", []),
    ],
)
def test_instruments_are_filtered(four: Caller, query: str, expected: list[str]) -> None:
    assert symbols(four.get(f"{URL}/instruments?{query}")) == expected


def test_quotes_of_some_symbols(four: Caller) -> None:
    assert symbols(four.get(f"{URL}/quotes?symbols=ETH-USD,BTC-USD,NONE")) == ["BTC-USD", "ETH-USD"]
    assert four.get(f"{URL}/quotes").json()["total"] == 4
    one = four.get(f"{URL}/quotes/BTC-USD").json()
    assert (one["price"], one["spread"], one["fresh"]) == ("61800", "0", True)


def test_a_quote_without_two_sides_has_no_spread(four: Caller) -> None:
    Quote.objects.update(bid=None, heard_at="2020-01-01T00:00:00Z", received_at="2020-01-01T00:00:00Z")
    one = four.get(f"{URL}/quotes/BTC-USD").json()
    assert (one["spread"], one["fresh"]) == (None, False)


@pytest.mark.parametrize("path", ["instruments/NONE", "quotes/NONE", "instruments/a/b", "quotes/%00"])
def test_what_is_not_there_is_a_404(ada: Caller, path: str) -> None:
    assert ada.get(f"{URL}/{path}").status_code == 404


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("instruments?x=1", "x"),
        ("instruments?prefix=a", "prefix"),
        ("instruments?prefix=", "prefix"),
        ("instruments?enabled=yes", "enabled"),
        ("instruments?enabled=true&enabled=true", "enabled"),
        ("instruments?currency=%00", "currency"),
        ("instruments?calendar=a%0A", "calendar"),
        ("instruments?limit=201", "limit"),
        ("quotes?symbols=", "symbols"),
        ("quotes?symbols=BTC-USD,", "symbols"),
        ("quotes?symbols=" + ",".join(["A"] * 201), "symbols"),
        ("quotes?instrument=BTC-USD", "instrument"),
        ("candles?timeframe=1m", "instrument"),
        ("candles?instrument=BTC-USD", "timeframe"),
        ("candles?instrument=BTC-USD&timeframe=2m", "timeframe"),
        ("candles?instrument=NONE&timeframe=1m", "instrument"),
        ("candles?instrument=BTC-USD&timeframe=1m&limit=1001", "limit"),
        ("candles?instrument=BTC-USD&timeframe=1m&offset=1", "offset"),
        ("candles?instrument=BTC-USD&timeframe=1m&since=2026-01-01", "since"),
        ("candles?instrument=BTC-USD&timeframe=1m&since=2026-01-01T00:00:00", "since"),
        ("candles?instrument=BTC-USD&timeframe=1m&since=3600", "since"),
        ("candles?instrument=BTC-USD&timeframe=1s&since=2020-01-01T00:00:00Z", "since"),
        ("candles?instrument=BTC-USD&timeframe=1m&since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "since"),
        ("trades", "instrument"),
        ("trades?instrument=BTC-USD&after=1", "after"),
        ("trades?instrument=BTC-USD&after=2026-01-01T00:00:00Z,x", "after"),
        ("trades?instrument=BTC-USD&after=2026-01-01T00:00:00Z,99999999999999999999", "after"),
        ("trades?instrument=BTC-USD&since=2020-01-01T00:00:00Z", "since"),
        ("trades?instrument=BTC-USD&limit=0", "limit"),
    ],
)
def test_a_bad_question_names_the_field_the_rule_and_the_remedy(ada: Caller, path: str, field: str) -> None:
    answer = ada.get(f"{URL}/{path}")
    assert answer.status_code == 400, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    (error,) = [error for error in answer.json()["errors"] if error["field"] == field]
    assert error["rule"]
    assert error["remedy"]


@pytest.mark.parametrize(
    "path", ["instruments", "instruments/BTC-USD", "quotes", "quotes/BTC-USD", "candles", "trades"]
)
def test_who_has_the_content_gets_304_until_it_changes(ada: Caller, stored: Store, path: str) -> None:
    query = {"candles": "&timeframe=1m", "trades": ""}
    address = f"{URL}/{path}" + (f"?instrument=BTC-USD{query[path]}" if path in query else "")
    first = ada.get(address)
    tag = first.headers["ETag"]
    assert first.status_code == 200
    assert "private" in first.headers["Cache-Control"]
    assert {"Authorization", "Cookie"} <= {word.strip() for word in first.headers["Vary"].split(",")}
    again = ada.get(address, if_none_match=tag)
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert ada.get(address, if_none_match='"other"').status_code == 200
    Instrument.objects.update(jump_band="0.3")
    Quote.objects.update(price="7")
    instrument = Instrument.objects.get()
    keep_ticks(stored, instrument, now() - timedelta(seconds=5), ["7"])
    assert ada.get(address, if_none_match=tag).status_code == 200


def test_an_error_is_not_for_keeping(ada: Caller) -> None:
    assert "ETag" not in ada.get(f"{URL}/quotes?x=1").headers


@pytest.mark.parametrize("path", ["instruments", "quotes"])
def test_the_number_of_queries_does_not_grow(ada: Caller, path: str) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            ada.get(f"{URL}/{path}")
        return len(queries)

    count()
    few = count()
    for number in range(20):
        make_instrument(f"X{number}-USD")
    assert count() == few <= 4


# --- candles ----------------------------------------------------------------------------------------------------------
def all_pages(ada: Caller, query: str, key: str) -> list[dict[str, Any]]:
    pages, going_on = [], ""
    while True:
        page = ada.get(f"{URL}/{query}{going_on}").json()
        pages.append(page["results"])
        if page["next"] is None:
            break
        going_on = "".join(f"&{name}={value}" for name, value in page["next"].items())
    ordered = pages[::-1] if key == "until" else pages
    return [row for page in ordered for row in page]


def test_candles_are_paged_into_the_past_without_gap_or_repeat(ada: Caller, btc: Instrument, stored: Store) -> None:
    keep_minutes(stored, btc, 95)
    found = all_pages(ada, "candles?instrument=BTC-USD&timeframe=1m&limit=20", "until")
    assert [row["at"] for row in found] == [f"{START + n * MINUTE:%Y-%m-%dT%H:%M:%SZ}" for n in range(95)]
    assert (found[7]["close"], found[7]["volume"], found[7]["closed"]) == ("100.0071", "2.5", True)


def test_a_window_is_half_open(ada: Caller, btc: Instrument, stored: Store) -> None:
    keep_minutes(stored, btc, 10)
    since, until = (f"{START + n * MINUTE:%Y-%m-%dT%H:%M:%SZ}" for n in (2, 5))
    page = ada.get(f"{URL}/candles?instrument=BTC-USD&timeframe=1m&since={since}&until={until}").json()
    assert next(row["at"] for row in page["results"]) == since
    assert len(page["results"]) == 3
    assert page["next"] is None


@pytest.mark.parametrize(("frame", "width", "count"), [("5m", 5, 12), ("1h", 60, 1), ("15m", 15, 4)])
def test_longer_candles_are_put_together_where_none_are_stored(
    ada: Caller, btc: Instrument, stored: Store, frame: str, width: int, count: int
) -> None:
    keep_minutes(stored, btc, 60)
    rows = ada.get(f"{URL}/candles?instrument=BTC-USD&timeframe={frame}").json()["results"]
    assert len(rows) == count
    assert rows[0] == {
        "at": f"{START:%Y-%m-%dT%H:%M:%SZ}",
        "open": "100",
        "high": str(100 + width),
        "low": "99.5",
        "close": f"100.{width - 1:03}1",
        "volume": f"{Decimal('2.5') * width:f}".rstrip("0").rstrip("."),
        "trades": 3 * width,
        "closed": True,
    }


def test_a_stored_candle_counts_before_one_put_together(ada: Caller, btc: Instrument, stored: Store) -> None:
    keep_minutes(stored, btc, 10)
    candles.write(stored, Timeframe.FIVE_MINUTES, [CandleRow(btc.pk, START, "1", "9", "1", "5", "7", 0)])
    rows = ada.get(f"{URL}/candles?instrument=BTC-USD&timeframe=5m").json()["results"]
    assert [row["close"] for row in rows] == ["5", "100.0091"]


@pytest.mark.parametrize("frame", ["1s", "1m", "5m", "1h", "1d"])
def test_the_last_candle_grows_from_ticks(ada: Caller, btc: Instrument, stored: Store, frame: str) -> None:
    keep_ticks(stored, btc, now() - timedelta(milliseconds=300), ["61800.123456789", "61900", "61750.5"])
    rows = ada.get(f"{URL}/candles?instrument=BTC-USD&timeframe={frame}").json()["results"]
    assert Decimal(rows[0]["open"]) == Decimal("61800.123456789")
    assert max(Decimal(row["high"]) for row in rows) == 61900
    assert rows[-1]["close"] == "61750.5"
    assert sum(row["trades"] for row in rows) == 3
    if frame == "1d":
        assert rows[-1]["closed"] is False


def test_the_growing_candle_joins_stored_minutes_and_ticks(ada: Caller, btc: Instrument, stored: Store) -> None:
    at = floor(now(), MINUTE)
    keep_minutes(stored, btc, 1, at - MINUTE)
    keep_ticks(stored, btc, at, ["300"])
    (row,) = ada.get(f"{URL}/candles?instrument=BTC-USD&timeframe=1d").json()["results"][-1:]
    assert (row["close"], row["high"]) == ("300", "300")
    assert row["low"] in ("99.5", "300")  # 300 alone when midnight lies between


# --- trades -----------------------------------------------------------------------------------------------------------
def test_trades_are_paged_without_gap_or_repeat_also_within_one_instant(
    ada: Caller, btc: Instrument, stored: Store
) -> None:
    keep_ticks(stored, btc, now() - timedelta(minutes=5), [f"{100 + n}" for n in range(25)])
    found = all_pages(ada, "trades?instrument=BTC-USD&limit=3", "after")
    assert [row["trade_id"] for row in found] == list(range(1, 26))
    assert (found[0]["price"], found[0]["size"], found[0]["side"]) == ("100", "0.5", "buy")


# --- changing an instrument -------------------------------------------------------------------------------------------
def test_an_administrator_changes_an_instrument_and_the_journal_says_who(root: Caller) -> None:
    body = {"enabled": False, "calendar": "XNYS", "jump_band": "0.05"}
    answer = root.patch(f"{URL}/instruments/BTC-USD", body)
    assert answer.status_code == 200, answer.content
    assert {name: answer.json()[name] for name in body} == body
    row = Instrument.objects.get()
    assert (row.enabled, row.calendar, row.jump_band) == (False, "XNYS", Decimal("0.05"))
    event = Event.objects.get(kind="instrument.changed")
    assert event.actor.startswith("root (ts_")
    assert event.subject == f"instrument:{row.pk}"
    assert event.payload == {"instrument": "BTC-USD", "changes": body}


def test_a_change_that_changes_nothing_leaves_no_event(root: Caller) -> None:
    assert root.patch(f"{URL}/instruments/BTC-USD", {"enabled": True}).status_code == 200
    assert not Event.objects.filter(kind="instrument.changed").exists()


def test_a_trader_with_an_admin_token_may_not(ada: Caller) -> None:
    answer = caller_for(ada.user, Scope.ADMIN).patch(f"{URL}/instruments/BTC-USD", {"enabled": False})
    assert answer.status_code == 403
    assert Instrument.objects.get().enabled


def test_an_administrator_with_a_trade_token_may_not(root: Caller) -> None:
    answer = caller_for(root.user, Scope.TRADE).patch(f"{URL}/instruments/BTC-USD", {"enabled": False})
    assert answer.status_code == 403
    assert Instrument.objects.get().enabled


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"tick_size": "1"}, "tick_size"),
        ({"enabled": "false"}, "enabled"),
        ({"enabled": 0}, "enabled"),
        ({"enabled": None}, "enabled"),
        ({"calendar": "NOWHERE"}, "calendar"),
        ({"calendar": ""}, "calendar"),
        ({"jump_band": "10"}, "jump_band"),
        ({"jump_band": "0"}, "jump_band"),
        ({"jump_band": "0.00001"}, "jump_band"),
        ({"jump_band": "NaN"}, "jump_band"),
        ({"jump_band": 0.2}, "jump_band"),
        ({"enabled": False, "calendar": "NOWHERE"}, "calendar"),
    ],
)
def test_a_bad_change_is_refused_whole(root: Caller, body: dict[str, Any], field: str) -> None:
    answer = root.patch(f"{URL}/instruments/BTC-USD", body)
    assert answer.status_code == 400, answer.content
    assert field in [error["field"] for error in answer.json()["errors"]]
    row = Instrument.objects.get()
    assert (row.enabled, row.calendar, row.jump_band) == (True, "24/7", Decimal("0.2"))


def test_what_does_not_exist_cannot_be_changed(root: Caller) -> None:
    assert root.patch(f"{URL}/instruments/NONE", {"enabled": False}).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_a_change_is_seen_at_once_although_the_list_is_kept() -> None:
    root = caller_for(make_user("root", is_superuser=True), Scope.ADMIN)
    make_instrument()
    assert symbols(root.get(f"{URL}/instruments?enabled=true")) == ["BTC-USD"]
    root.patch(f"{URL}/instruments/BTC-USD", {"enabled": False})
    assert symbols(root.get(f"{URL}/instruments?enabled=true")) == []
