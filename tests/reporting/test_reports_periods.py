"""Reports tile time from close to close: weeks end on Friday, months with their last session."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import pytest

from apps.domain.calendars import AlwaysOpen, Session, SessionTable
from apps.reporting.models import ReportKind
from apps.reporting.reports import periods

DAY = timedelta(days=1)
HOLIDAYS = {date(2026, 9, 7), date(2026, 11, 26), date(2026, 12, 25)}
EARLY = {date(2026, 11, 27), date(2026, 12, 24)}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def new_york() -> SessionTable:
    """Half a year of New York: clocks change on the first of November, Friday 25 December is a holiday."""
    rows = []
    for number in range(190):
        day = date(2026, 7, 1) + number * DAY
        if day.weekday() > 4 or day in HOLIDAYS:
            continue
        offset = 4 if day < date(2026, 11, 1) else 5
        closes = time(13 + offset) if day in EARLY else time(16 + offset)
        opens = datetime.combine(day, time(9 + offset, 30), UTC)
        rows.append(Session(day=day, opens_at=opens, closes_at=datetime.combine(day, closes, UTC)))
    return SessionTable("XNYS", "America/New_York", tuple(rows))


def last(kind: ReportKind, now: str) -> tuple[str, str, str]:
    found = periods.ended(new_york(), kind, at(now), most=1)[0]
    return f"{found.day}", f"{found.since:%m-%d %H:%M}", f"{found.until:%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("kind", "now", "expected"),
    [
        pytest.param("daily", "2026-11-25T21:00", ("2026-11-25", "11-24 21:00", "11-25 21:00"), id="at the close"),
        pytest.param("daily", "2026-11-25T20:59", ("2026-11-24", "11-23 21:00", "11-24 21:00"), id="before it"),
        pytest.param("daily", "2026-11-27T18:00", ("2026-11-27", "11-25 21:00", "11-27 18:00"), id="an early close"),
        pytest.param("daily", "2026-11-02T22:00", ("2026-11-02", "10-30 20:00", "11-02 21:00"), id="clocks changed"),
        pytest.param("weekly", "2026-11-27T18:00", ("2026-11-27", "11-20 21:00", "11-27 18:00"), id="Friday"),
        pytest.param("weekly", "2026-11-27T17:59", ("2026-11-20", "11-13 21:00", "11-20 21:00"), id="not yet"),
        pytest.param("weekly", "2026-12-24T18:00", ("2026-12-24", "12-18 21:00", "12-24 18:00"), id="Friday's holiday"),
        pytest.param("monthly", "2026-10-30T20:00", ("2026-10-30", "09-30 20:00", "10-30 20:00"), id="last session"),
        pytest.param(
            "monthly", "2026-10-30T19:59", ("2026-09-30", "08-31 20:00", "09-30 20:00"), id="the month before"
        ),
        pytest.param("morning", "2026-11-27T13:30", ("2026-11-27", "11-25 21:00", "11-27 13:30"), id="an hour before"),
        pytest.param("morning", "2026-11-27T13:29", ("2026-11-25", "11-24 21:00", "11-25 13:30"), id="too early"),
    ],
)
def test_the_last_period_that_has_ended(kind: str, now: str, expected: tuple[str, str, str]) -> None:
    assert last(ReportKind(kind), now) == expected


@pytest.mark.parametrize("kind", [ReportKind.DAILY, ReportKind.WEEKLY, ReportKind.MONTHLY])
@pytest.mark.parametrize("calendar", [new_york(), AlwaysOpen()], ids=["New York", "always"])
def test_no_instant_is_left_out_or_told_twice(kind: ReportKind, calendar: SessionTable | AlwaysOpen) -> None:
    found = list(reversed(periods.ended(calendar, kind, at("2026-12-31T23:00"), most=4)))
    assert len(found) == 4
    assert all(before.until == after.since and before.day < after.day for before, after in pairwise(found))


def test_a_market_that_never_closes_has_days_of_utc_and_weeks_that_end_with_friday() -> None:
    now = at("2026-11-21T00:00")
    day, week = (periods.ended(AlwaysOpen(), kind, now, most=1)[0] for kind in (ReportKind.DAILY, ReportKind.WEEKLY))
    assert (day.since, day.until, day.day) == (at("2026-11-20T00:00"), now, date(2026, 11, 20))
    assert (week.since, week.until, week.day) == (at("2026-11-14T00:00"), now, date(2026, 11, 20))
    month = periods.ended(AlwaysOpen(), ReportKind.MONTHLY, now, most=1)[0]
    assert (month.since, month.until) == (at("2026-10-01T00:00"), at("2026-11-01T00:00"))
    morning = periods.ended(AlwaysOpen(), ReportKind.MORNING, at("2026-11-21T06:00"), most=1)[0]
    assert (morning.since, morning.until, morning.day) == (now, at("2026-11-21T06:00"), date(2026, 11, 21))


def test_where_the_table_ends_nothing_is_guessed() -> None:
    whole = new_york()
    cut = SessionTable("XNYS", whole.zone, tuple(row for row in whole.rows if row.day <= date(2026, 11, 25)))
    found = periods.ended(cut, ReportKind.WEEKLY, at("2026-12-01T00:00"), most=3)
    assert [period.day for period in found] == [date(2026, 11, day) for day in (20, 13, 6)]
    assert periods.ended(SessionTable("XNYS", "UTC", ()), ReportKind.DAILY, at("2026-12-01T00:00"), most=3) == []


def test_the_period_around_a_day_is_the_one_whose_own_day_comes_next() -> None:
    around = periods.of_day(new_york(), ReportKind.WEEKLY, date(2026, 11, 22))  # a Sunday
    assert around is not None
    assert around.day == date(2026, 11, 27)
    month = periods.of_day(AlwaysOpen(), ReportKind.MONTHLY, date(2026, 2, 3))
    assert month is not None
    assert month.until == at("2026-03-01T00:00")
