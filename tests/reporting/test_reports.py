"""What reports say of an account with known trades: the statistics' figures to the last digit, sums made by hand."""

import json
import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest

from apps.journal import services as journal
from apps.market import selectors as market
from apps.market.models import FeedStatus, Gap, Instrument
from apps.market.store import Store
from apps.reporting.models import ReportKind
from apps.reporting.reports import figures, sections
from apps.reporting.reports.document import Cell, Document, Section, Table, Text
from apps.reporting.reports.periods import Period
from apps.reporting.reports.rendering import html, pdf, sheets
from apps.reporting.reports.subjects import Subject, calendar_of
from apps.trading.models import Account
from apps.trading.services import accounts
from apps.trading.statistics import books, latency, plain, summary
from apps.trading.statistics.selection import Period as Step
from tests.factories import make_instrument, set_quote
from tests.reporting import reports_world as world

pytestmark = pytest.mark.django_db
D = Decimal
DAY = timedelta(days=1)
UNTIL = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
PERIOD = Period(kind=ReportKind.DAILY, day=(UNTIL - DAY).date(), since=UNTIL - DAY, until=UNTIL)
NOW = UNTIL + timedelta(minutes=1)


@pytest.fixture(autouse=True)
def stored(tick_store: Store) -> Iterator[None]:
    """A market store without candles: prices of fills stand in."""
    market.market_store.cache_clear()
    yield
    market.market_store().close()
    market.market_store.cache_clear()


@pytest.fixture
def account() -> Account:
    return world.account(PERIOD.since - 5 * DAY, deposit="10000")


@pytest.fixture
def btc() -> Instrument:
    return make_instrument()


def at(hours: float) -> datetime:
    return PERIOD.since + timedelta(hours=hours)


def traded(account: Account, btc: Instrument) -> None:
    """Win 9.79 and lose 10.39 after fees within the period, and win before and after it."""
    world.round_trip(account, btc, "1", "100", "150", at=at(-3))
    world.round_trip(account, btc, "1", "100", "110", at=at(2))
    world.round_trip(account, btc, "2", "100", "95", at=at(4))
    world.round_trip(account, btc, "1", "100", "200", at=at(24.5))


def counted(account: Account, *, strategy: Any = None, kind: str = "daily") -> dict[str, Any]:
    subject = Subject(account=account, strategy=strategy)
    period = Period(kind=ReportKind(kind), day=PERIOD.day, since=PERIOD.since, until=PERIOD.until)
    found = figures.of(subject, period, calendar_of(account), NOW)
    assert json.loads(json.dumps(found, allow_nan=False)) == found, "figures are stored as JSON and read again"
    return found


def test_figures_are_those_of_the_statistics_to_the_last_digit(account: Account, btc: Instrument) -> None:
    traded(account, btc)
    world.held(account, btc, "3", "104.37", at=at(5))
    found = counted(account)
    told = summary.of(Subject(account=account).selection(PERIOD), by=Step.DAY, now=NOW, most_fills=None)
    assert found["trading"]["groups"] == plain.of(told.trades)
    assert found["money"]["by_day"] == plain.of(told.books)
    assert found["money"]["open"]["lots"] == plain.of(told.lots)
    assert found["money"]["open"]["sums"] == plain.of(told.open)
    assert (
        found["trading"]["exits"]
        == plain.of(told.latency)
        == plain.of(latency.of(Subject(account=account).selection(PERIOD)))
    )
    (row,) = found["money"]["books"]
    taken = books.by_period(Subject(account=account).selection(PERIOD), by=Step.MONTH)
    assert D(row["net_pnl"]) == sum((each.net_pnl for each in taken), D(0))


def test_figures_are_those_made_by_hand(account: Account, btc: Instrument) -> None:
    traded(account, btc)
    found = counted(account)
    (row,) = found["money"]["books"]
    # 0.1 % of 100, 110, 200 and 190: what was traded before and after the day is in no sum.
    assert row == {"currency": "USD", "realised_pnl": "0", "fees": "0.6", "net_pnl": "-0.6", "deposits": "0"}
    (all_,) = (each for each in found["trading"]["groups"] if each["by"] == "all")
    assert (all_["number"], all_["wins"], all_["total_pnl"]) == (2, 1, "-0.6")
    assert [lot["net_pnl"] for lot in found["trading"]["rows"]] == ["-10.39", "9.79"]
    assert {lot["why_out"] for lot in found["trading"]["rows"]} == {"manual"}
    assert found["trading"]["exits"][0]["p99"] == "40"
    assert found["trading"]["rows"][0]["tick_to_close_ms"] == 40.0


def test_the_result_is_what_was_realised_and_what_open_lots_gained(account: Account, btc: Instrument) -> None:
    traded(account, btc)
    world.held(account, btc, "3", "100", at=at(5))
    accounts.pay_in(account_id=account.pk, amount=D(500), now=at(6))
    world.measured(account, UNTIL - timedelta(minutes=1), "10561.45")
    worth = counted(account)["money"]["worth"]
    assert worth["after"]["equity"] == "10561.45"
    assert worth["deposits"] == "500"
    assert worth["before"]["equity"] == "10049.75", "the deposit, and 50 less 0.25 of fees from before the day"
    assert D(worth["gain"]) == D("10561.45") - D("10049.75") - 500
    # Realised less fees is -0.6 and 0.3 for the entry that stays open; the rest is what that lot gained.
    assert D(worth["gain"]) == D("-0.9") + D(worth["unrealised_change"])


def test_a_strategy_has_its_own_report(account: Account, btc: Instrument) -> None:
    strategy = world.followed(account, world.round_trip(account, btc, "1", "100", "110", at=at(2)))
    world.round_trip(account, btc, "1", "100", "90", at=at(3))
    found = counted(account, strategy=strategy)
    assert found["money"]["books"][0]["net_pnl"] == "9.79"
    assert [row["why_in"] for row in found["trading"]["rows"]] == ["crossing: long"]
    assert found["money"]["worth"] is None
    assert found["money"]["taken"] == [[int(at(2).timestamp()) + 600, "USD", "9.79"]]
    (compared,) = found["comparisons"]
    assert "has no signal" in compared["why_not"]
    titles = [block.title for part in sections.of(found).sections for block in part.blocks if hasattr(block, "title")]
    assert "Gained by closed lots, after fees, USD" in titles


def test_refusals_gaps_and_warnings_of_the_time_are_told_and_no_others(account: Account, btc: Instrument) -> None:
    world.round_trip(account, btc, "1", "100", "110", at=at(2))
    for hours, rule in ((1, "daily_loss"), (2, "daily_loss"), (3, "price_band"), (25, "leverage")):
        world.refused(account, btc, rule, at(hours))
    values = {"instrument": btc, "kind": "candles", "found_at": at(1)}
    Gap.objects.create(since=at(-1), until=at(1), why="silence", **values)
    Gap.objects.create(since=at(-9), until=at(-8), **values)
    FeedStatus.objects.create(name="coinbase:0", state="stalled", since=at(3), session=4)
    mine = journal.record("exit.failed", "position:7", account_id=account.pk, payload={"position": 7, "why": "x"})
    stranger = journal.record("exit.failed", "position:8", account_id=account.pk + 1, payload={"position": 8})
    public = journal.record("backup.failed", "backup:1", payload={"sentence": "/a/secret/path"})
    private = journal.record("channel.stored", "channel:1", payload={"name": "a channel of somebody"})
    for number in (mine, stranger, public, private):
        world.shift("journal_event", "at", at(5), f"id = {number}")
    found = counted(account)
    assert found["limits"]["refused"] == [["daily_loss", 2], ["price_band", 1]]
    assert found["limits"]["refusals"][0]["reason"] == "price_band said no."
    (gap,) = found["quality"]["gaps"]
    assert (gap["seconds"], gap["why"]) == (3600.0, "silence"), "as far as it lies in the time"
    assert found["quality"]["instruments"][0]["unfilled"] == 1
    assert [row["state"] for row in found["quality"]["feeds"]] == ["stalled"]
    assert [row["told"] for row in found["incidents"]["rows"]] == ["A BACKUP FAILED", "An exit of #7 FAILED"]
    assert "secret" not in json.dumps(found)
    assert "2 warnings, 1 gap" in sections.of(found).verdict.text


def test_a_morning_says_what_is_held_and_how_it_is_left(account: Account, btc: Instrument) -> None:
    lot = world.held(account, btc, "3", "100", at=at(5))
    found = counted(account, kind="morning")["preparing"]
    assert found["lots"][0]["legs"] == ["stop loss 50"]
    assert (found["held"], found["unprotected"], found["lots"][0]["position"]) == (1, 0, lot.pk)
    assert found["markets"] == [{"calendar": "24/7", "opens_at": None, "closes_at": None, "note": "It never closes."}]


def test_the_page_is_whole_and_holds_nothing_that_is_fetched(account: Account, btc: Instrument) -> None:
    Account.objects.filter(pk=account.pk).update(name="<b>&'\u0414\u043e\u043c")
    account.refresh_from_db()
    traded(account, btc)
    for minute in range(0, 1440, 60):
        world.measured(account, PERIOD.since + timedelta(minutes=minute), str(10_000 + minute % 7), gross="50")
    document = sections.of(counted(account))
    page = html.written(document)
    assert "<b>&" not in page
    assert "&lt;b&gt;&amp;&#x27;\u0414\u043e\u043c" in page
    assert re.findall(r"(?:src|href)=\"(?!#)[^\"]*\"|url\(|@import|<script", page) == []
    assert page.count("<svg") == 3, "equity, drawdown, exposure"
    assert html.written(document) == page
    made = pdf.written(document, made_at=NOW)
    assert made.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", made)) >= 2
    assert pdf.written(document, made_at=NOW) == made


def test_words_that_fit_nowhere_are_cut_and_long_tables_go_over_pages() -> None:
    long = Cell("x" * 900, "x" * 900)
    rows = [(Cell(f"{number} " + "words and more words " * 30, ""), long) for number in range(40)]
    table = Table(name="t", title="T" * 300, heads=("first", "second"), rows=rows, none="")
    sentence = Text("\u6f22\U0001f600 " + "y" * 400)
    section = Section(name="s", title="S", blocks=[table, sentence])
    document = Document(title="D" * 200, about=["a"], verdict=Text("v"), cards=[], sections=[section])
    made = pdf.written(document, made_at=NOW)
    assert len(re.findall(rb"/Type /Page\b", made)) >= 3


def test_csv_has_whole_digits_and_no_formulas(account: Account, btc: Instrument) -> None:
    strategy = world.followed(account, world.round_trip(account, btc, "0.3333", "100.01", "99.97", at=at(2)), "=1+1")
    document = sections.of(counted(account, strategy=strategy))
    tables = {table.name: table for table in document.tables}
    lines = sheets.written(tables["trades"]).split("\r\n")
    assert '"-0.07998533"' in lines[1], "as the ledger has it"
    assert '"\'=1+1: long"' in lines[1]
    with zipfile.ZipFile(BytesIO(sheets.zipped(document))) as archive:
        assert set(archive.namelist()) >= {"trades.csv", "books.csv", "exits.csv"}
        assert archive.read("trades.csv").decode() == sheets.written(tables["trades"])
    for table in document.tables:
        assert all(len(row) == len(table.heads) for row in table.rows), table.name


def test_days_end_with_the_calendar_of_all_that_is_traded(account: Account, btc: Instrument) -> None:
    assert calendar_of(account) == "24/7"
    apple = make_instrument("AAPL-USD")
    world.held(account, apple, "1", "100", at=at(1))
    Instrument.objects.filter(pk=apple.pk).update(calendar="NYSE")
    assert calendar_of(account) == "XNYS"
    world.held(account, btc, "1", "100", at=at(2))
    set_quote(btc, "100")
    assert calendar_of(account) == "24/7"
