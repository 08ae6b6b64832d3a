"""The sessions we store against what others say: the library's own minutes, and Lean's market hours."""

import gzip
import json
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import exchange_calendars
import pytest

from apps.domain import calendars, due, exchanges, rule_text
from apps.domain.calendars import Phase, SessionTable
from apps.market.calendars import library

LEAN = Path(__file__).resolve().parents[3] / "shared/data/equities/lean_market-hours-database.json.gz"
NEW_YORK = ZoneInfo("America/New_York")
FIRST, LAST = date(2019, 12, 15), date(2028, 1, 15)
YEARS = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
MINUTE = timedelta(minutes=1)
# One minute in so many is asked about; a prime, so that every minute of the day gets its turn.
STRIDES = {"XNYS": 37, "XHKG": 397, "XTKS": 397, "CMES": 397, "24/5": 397, "XLON": 397, "XASX": 397, "XTAE": 397}


def table(name: str) -> SessionTable:
    return SessionTable(name, exchanges.ZONES[name], tuple(library.read(name, FIRST, LAST)))


@pytest.fixture(scope="module")
def new_york() -> SessionTable:
    return table("XNYS")


def minutes(since: datetime, until: datetime, stride: int) -> Iterator[datetime]:
    while since < until:
        yield since
        since += stride * MINUTE


def test_our_names_and_zones_are_those_of_the_library() -> None:
    own = {name: str(exchange_calendars.get_calendar(name).tz) for name in ("24/5", "CMES", "XNYS", "XSHG")}
    assert {name: exchanges.ZONES[name] for name in own} == own
    assert exchanges.names() == sorted(exchange_calendars.get_calendar_names())
    assert {name: exchanges.ALIASES[name] for name in exchanges.ALIASES} == {
        alias: exchange_calendars.resolve_alias(alias) for alias in exchanges.ALIASES
    }


@pytest.mark.parametrize("name", STRIDES)
def test_open_at_a_minute_exactly_when_the_library_says_so(name: str) -> None:
    ours = table(name)
    theirs = exchange_calendars.get_calendar(name, start=str(FIRST), end=str(LAST))
    trading = set(theirs.minutes.asi8.tolist()) if theirs.minutes.unit == "ns" else None
    assert trading is not None
    wrong, opened = [], 0
    for at in minutes(*YEARS, STRIDES[name]):
        expected = int(at.timestamp()) * 1_000_000_000 in trading
        opened += expected
        if calendars.is_open(ours, at) is not expected:
            wrong.append(at)
    assert wrong == []
    assert opened > 500, "the comparison must have met open minutes"


def test_every_edge_of_every_session_is_the_librarys(new_york: SessionTable) -> None:
    theirs = exchange_calendars.get_calendar("XNYS", start=str(FIRST), end=str(LAST))
    for row in new_york.rows[1:-1]:  # the library does not answer before its first minute and after its last
        for at in (row.opens_at - MINUTE, row.opens_at, row.closes_at - MINUTE, row.closes_at):
            assert calendars.is_open(new_york, at) is bool(theirs.is_open_on_minute(at)), at


def test_the_next_open_and_close_are_the_librarys(new_york: SessionTable) -> None:
    theirs = exchange_calendars.get_calendar("XNYS", start=str(FIRST), end=str(LAST))
    chance = random.Random(20261127)
    for _ in range(2000):
        at = YEARS[0] + MINUTE * chance.randrange((YEARS[1] - YEARS[0]) // MINUTE)
        assert calendars.next_open(new_york, at) == theirs.next_open(at).to_pydatetime(), at
        assert calendars.next_close(new_york, at) == theirs.next_close(at).to_pydatetime(), at


def test_every_minute_of_eight_years_of_sessions_is_due_once(new_york: SessionTable) -> None:
    theirs = exchange_calendars.get_calendar("XNYS", start=str(FIRST), end=str(LAST))
    expected = theirs.minutes[(theirs.minutes >= YEARS[0]) & (theirs.minutes < YEARS[1])]
    found = due.slots(rule_text.parse("every 1m in session"), new_york, *YEARS)
    assert found == [each.to_pydatetime() for each in expected]
    assert len(found) > 780_000


@pytest.mark.parametrize(
    ("day", "opens", "closes", "early"),
    [
        pytest.param("2026-11-25", "09:30", "16:00", False, id="the day before Thanksgiving"),
        pytest.param("2026-11-27", "09:30", "13:00", True, id="the half day after it"),
        pytest.param("2026-12-24", "09:30", "13:00", True, id="Christmas Eve"),
        pytest.param("2024-02-29", "09:30", "16:00", False, id="a leap day"),
        pytest.param("2026-03-09", "09:30", "16:00", False, id="summer time begins"),
        pytest.param("2026-11-02", "09:30", "16:00", False, id="winter time begins"),
    ],
)
def test_days_of_new_york(new_york: SessionTable, day: str, opens: str, closes: str, *, early: bool) -> None:
    (row,) = new_york.sessions(date.fromisoformat(day), date.fromisoformat(day) + timedelta(days=1))
    local = [f"{each.astimezone(NEW_YORK):%H:%M}" for each in (row.opens_at, row.closes_at, row.starts_at, row.ends_at)]
    assert local == [opens, closes, "04:00", "17:00" if early else "20:00"]
    assert row.early_close is early


@pytest.mark.parametrize("day", ["2026-11-26", "2026-12-25", "2027-01-01", "2026-04-03", "2025-01-09", "2026-11-28"])
def test_days_without_a_session(new_york: SessionTable, day: str) -> None:
    noon = datetime.fromisoformat(f"{day} 12:00").replace(tzinfo=NEW_YORK)
    assert calendars.phase(new_york, noon) is Phase.CLOSED


def test_what_the_library_does_not_know_is_not_invented() -> None:
    rows = library.read("XSHG", date(2026, 1, 1), date(2027, 12, 31))
    assert rows[-1].day == date(2026, 12, 31), "China announces its holidays a year at a time"
    assert rows[0].break_starts_at is not None


@pytest.mark.skipif(not LEAN.exists(), reason="the market-hours database of Lean is not on this machine")
def test_holidays_and_early_closes_are_those_of_lean() -> None:
    lean = json.loads(gzip.decompress(LEAN.read_bytes()))["entries"]["Equity-usa-[*]"]
    assert [(part["start"], part["end"], part["state"]) for part in lean["monday"]] == [
        ("04:00:00", "09:30:00", "premarket"),
        ("09:30:00", "16:00:00", "market"),
        ("16:00:00", "20:00:00", "postmarket"),
    ]
    since, until = date(2000, 1, 1), date(2027, 12, 31)
    ours = library.read("XNYS", since, until)
    holidays = {_american(text) for text in lean["holidays"]}
    days = (since + timedelta(days=count) for count in range((until - since).days + 1))
    weekdays = [day for day in days if day.weekday() < 5]
    assert [row.day for row in ours] == [day for day in weekdays if day not in holidays]
    early = {_american(text): hour for text, hour in lean["earlyCloses"].items()}
    assert {day for day in early if since <= day <= until and day.weekday() < 5} == {
        r.day for r in ours if r.early_close
    }
    closes = {f"{row.closes_at.astimezone(NEW_YORK):%H:%M:%S}" for row in ours if row.early_close}
    assert closes == set(early.values()) == {"13:00:00"}
    usual = {f"{row.opens_at.astimezone(NEW_YORK):%H:%M} {row.closes_at.astimezone(NEW_YORK):%H:%M}" for row in ours}
    assert usual == {"09:30 16:00", "09:30 13:00"}


def _american(text: str) -> date:
    month, day, year = map(int, text.split("/"))
    return date(year, month, day)
