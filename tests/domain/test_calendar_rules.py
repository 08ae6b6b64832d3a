"""When rules are due, on a year of New York written out by hand."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import due, rule_text, wall_clock
from apps.domain.calendar_rules import Rule
from apps.domain.calendars import AlwaysOpen, NotCovered, Session, SessionTable
from apps.domain.due import NeverDue
from apps.domain.usual_rules import BY_NAME, USUAL
from tests.domain.newyork import EARLY, HOLIDAYS, NEW_YORK, TABLE, instant, session, shown

YEAR = (instant("2026-01-02 04:00"), instant("2026-12-31 19:00"))


def on(text: str, day: str, days: int = 1) -> list[str]:
    """Return when a rule is due on a day, as New York's clocks show it."""
    since = instant(f"{day} 00:00")
    until = instant(f"{date.fromisoformat(day) + timedelta(days=days)} 00:00")
    return shown(due.slots(rule_text.parse(text), TABLE, since, until))


def usual(name: str) -> Rule:
    return BY_NAME[name].rule


@pytest.mark.parametrize(
    ("day", "count"),
    [
        pytest.param("2026-11-25", 390, id="a normal day"),
        pytest.param("2026-11-27", 210, id="an early close"),
        pytest.param("2026-11-26", 0, id="a holiday"),
        pytest.param("2026-11-28", 0, id="a Saturday"),
        pytest.param("2026-03-09", 390, id="the first session of summer time"),
        pytest.param("2026-11-02", 390, id="the first session of winter time"),
    ],
)
def test_every_minute_of_the_session_and_no_other(day: str, count: int) -> None:
    found = on("every 1m in session", day)
    assert len(found) == count
    if count:
        assert found[0] == f"{day} 09:30"
        assert found[-1] == (f"{day} 15:59" if count == 390 else f"{day} 12:59")


def test_the_end_of_a_session_is_a_slot_only_when_asked_for() -> None:
    assert on("every 15m in session", "2026-11-27")[-1] == "2026-11-27 12:45"
    assert on("every 15m in session including end", "2026-11-27")[-1] == "2026-11-27 13:00"
    assert on("every 11m in session including end", "2026-11-27") == on("every 11m in session", "2026-11-27")


ON_A_NORMAL_DAY = {  # of each usual rule: first and last slot of Wednesday 2026-11-25, and how many
    "market-data": ("09:30", "15:59", 390),
    "run-strategies": ("09:30", "15:55", 78),
    "daily-report": ("17:00", "17:00", 1),
    "backup": ("02:00", "02:00", 1),
    "market-open": ("09:30", "09:30", 1),
    "market-close": ("16:00", "16:00", 1),
    "pre-market": ("04:00", "09:00", 6),
    "after-hours": ("16:00", "20:00", 5),
    "every-minute": ("09:30", "15:59", 390),
    "every-5-minutes": ("09:30", "15:55", 78),
    "every-15-minutes": ("09:30", "15:45", 26),
    "every-hour": ("09:30", "15:30", 7),
    "morning-preparation": ("08:00", "08:00", 1),
    "trading-days": ("00:00", "00:00", 1),
    "weekdays": ("00:00", "00:00", 1),
}
NOT_ON_IT = {"cleaning", "weekly-report", "monthly-report", "month-end"}


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_each_usual_rule_on_a_normal_day(name: str) -> None:
    found = on(BY_NAME[name].text, "2026-11-25")
    if name in NOT_ON_IT:
        assert found == []
    else:
        assert (found[0][11:], found[-1][11:], len(found)) == ON_A_NORMAL_DAY[name]


ON_THE_HALF_DAY = {
    "market-data": 210,
    "market-close": "13:00",
    "after-hours": "13:00 14:00 15:00 16:00 17:00",
    "daily-report": "17:00",
    "weekly-report": "18:00",
    "every-hour": "09:30 10:30 11:30 12:30",
}


@pytest.mark.parametrize(("name", "expected"), ON_THE_HALF_DAY.items())
def test_usual_rules_follow_an_early_close(name: str, expected: "str | int") -> None:
    found = [each[11:] for each in on(BY_NAME[name].text, "2026-11-27")]
    assert (len(found) if isinstance(expected, int) else " ".join(found)) == expected


def test_on_a_holiday_only_what_has_nothing_to_do_with_the_market_is_due() -> None:
    assert {each.name for each in USUAL if on(each.text, "2026-11-26")} == {"backup", "weekdays"}


def test_every_item_of_the_seed_is_answered() -> None:
    patterns = {f"001-{number}" for number in (53, 54, 55, 56, 57, 60, *range(66, 78))}
    assert {item for each in USUAL for item in each.items} == patterns


def test_the_week_ends_on_thursday_when_friday_is_a_holiday() -> None:
    found = due.slots(usual("weekly-report"), TABLE, instant("2026-03-27 00:00"), instant("2026-04-13 00:00"))
    assert shown(found) == ["2026-03-27 18:00", "2026-04-02 18:00", "2026-04-10 18:00"]


def test_the_last_session_of_each_month() -> None:
    found = due.slots(usual("monthly-report"), TABLE, YEAR[0], instant("2026-12-31 19:00"))
    days = ["01-30", "02-27", "03-31", "04-30", "05-29", "06-30", "07-31", "08-31", "09-30", "10-30", "11-30", "12-31"]
    assert shown(found) == [f"2026-{day} 18:00" for day in days]


def test_the_last_day_of_each_month_trading_or_not() -> None:
    found = due.slots(usual("month-end"), AlwaysOpen(), instant("2028-01-01 00:00"), instant("2028-04-01 00:00"))
    assert shown(found) == ["2028-01-31 18:00", "2028-02-29 18:00", "2028-03-31 18:00"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at 08:00 on first session of week", "2026-09-08"),  # Labor Day is the Monday before
        ("at 08:00 on first session of month", "2026-09-01"),
        ("at 08:00 on first session of quarter", "2026-10-01"),
        ("at 08:00 on last session of quarter", "2026-09-30"),
        ("at 08:00 on last session of year", "2026-12-31"),
        ("at 08:00 on first day of week", "2026-09-07"),
        ("at 08:00 on last day of quarter", "2026-09-30"),
        ("at 08:00 on last day of year", "2026-12-31"),
    ],
)
def test_the_ends_of_periods(text: str, expected: str) -> None:
    since = instant("2026-09-05 12:00") if "week" in text else instant("2026-08-31 12:00")
    if "first session of quarter" in text:
        since = instant("2026-09-05 12:00")
    assert shown([due.next_after(rule_text.parse(text), TABLE, since)]) == [f"{expected} 08:00"]


def test_offsets_move_with_the_close() -> None:
    assert on("at close - 15m", "2026-11-25") == ["2026-11-25 15:45"]
    assert on("at close - 15m", "2026-11-27") == ["2026-11-27 12:45"]
    assert on("at open + 90s", "2026-11-25") == ["2026-11-25 09:31"]
    assert on("at close + 10h", "2026-11-26") == ["2026-11-26 02:00"]  # of the session before
    assert on("at open - 24h", "2026-11-29") == ["2026-11-29 09:30"]  # of the session after
    assert on("at open on Mon", "2026-11-23", 14) == ["2026-11-23 09:30", "2026-11-30 09:30"]


def test_a_skipped_time_is_due_when_the_clocks_jump_and_a_repeated_one_once() -> None:
    forward = due.slots(usual("backup"), AlwaysOpen(), instant("2026-03-07 12:00"), instant("2026-03-10 00:00"))
    assert shown(forward) == ["2026-03-08 03:00", "2026-03-09 02:00"]
    rule = rule_text.parse("at 01:30 America/New_York")
    back = due.slots(rule, AlwaysOpen(), instant("2026-10-31 12:00"), instant("2026-11-03 00:00"))
    assert back == [datetime(2026, 11, 1, 5, 30, tzinfo=UTC), datetime(2026, 11, 2, 6, 30, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("zone", "day", "wall", "expected"),
    [
        ("America/New_York", date(2026, 3, 8), time(2, 30), datetime(2026, 3, 8, 7, tzinfo=UTC)),
        ("America/New_York", date(2026, 3, 8), time(2), datetime(2026, 3, 8, 7, tzinfo=UTC)),
        ("America/New_York", date(2026, 3, 8), time(3), datetime(2026, 3, 8, 7, tzinfo=UTC)),
        ("Australia/Lord_Howe", date(2026, 10, 4), time(2, 15), datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
        ("Pacific/Apia", date(2011, 12, 30), time(12), datetime(2011, 12, 30, 10, tzinfo=UTC)),
        ("America/New_York", date(2026, 11, 1), time(1, 30), datetime(2026, 11, 1, 5, 30, tzinfo=UTC)),
        ("UTC", date(2028, 2, 29), time(2, 30), datetime(2028, 2, 29, 2, 30, tzinfo=UTC)),
    ],
)
def test_wall_times_on_days_the_clocks_change(zone: str, day: date, wall: time, expected: datetime) -> None:
    assert wall_clock.instant_of(day, wall, ZoneInfo(zone)) == expected


@given(
    day=st.dates(date(2000, 1, 1), date(2037, 12, 31)),
    wall=st.times().map(lambda each: each.replace(microsecond=0)),
    zone=st.sampled_from(
        ["America/New_York", "Europe/London", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Tehran"]
    ),
)
def test_wall_times_keep_their_order_and_their_day(day: date, wall: time, zone: str) -> None:
    at = ZoneInfo(zone)
    first = wall_clock.instant_of(day, time(0), at)
    found = wall_clock.instant_of(day, wall, at)
    assert first <= found < wall_clock.instant_of(day + timedelta(days=1), time(0), at) + timedelta(seconds=1)
    shown_wall = found.astimezone(at).replace(tzinfo=None, fold=0)
    assert shown_wall >= datetime.combine(day, wall), "never before the time asked for"


def test_once_a_day_is_once_a_day_through_every_change_of_the_clocks() -> None:
    since, until = datetime(2020, 1, 1, 5, tzinfo=UTC), datetime(2028, 1, 1, 5, tzinfo=UTC)
    found = due.slots(usual("backup"), AlwaysOpen(), since, until)
    days = Counter(each.astimezone(NEW_YORK).date() for each in found)
    assert len(days) == 2922
    assert set(days.values()) == {1}


def test_the_year_has_its_sessions() -> None:
    sessions = due.slots(usual("daily-report"), TABLE, *YEAR)
    assert len(sessions) == 365 - 104 - len(HOLIDAYS)
    minutes = due.slots(usual("market-data"), TABLE, *YEAR)
    assert len(minutes) == 390 * len(sessions) - 180 * len(EARLY)


TEXTS = sorted(
    {each.text for each in USUAL} | {"at close - 15m", "at close + 10h", "every 7s in pre-market on Mon, Thu"}
)


@given(text=st.sampled_from(TEXTS), start=st.integers(0, 300 * 1440), length=st.integers(0, 6 * 1440))
def test_a_span_holds_what_its_parts_hold_and_next_after_walks_it(text: str, start: int, length: int) -> None:
    rule = rule_text.parse(text)
    since = instant("2026-01-05 00:00") + timedelta(minutes=start)
    until, middle = since + timedelta(minutes=length), since + timedelta(minutes=length // 2)
    found = due.slots(rule, TABLE, since, until)
    assert found == due.slots(rule, TABLE, since, middle) + due.slots(rule, TABLE, middle, until)
    assert found == sorted(set(found))
    assert all(since <= each < until for each in found)
    at, walked = since - timedelta.resolution, []
    while len(walked) < 20 and (at := due.next_after(rule, TABLE, at)) < until:
        walked.append(at)
    assert walked == found[:20]


def test_a_step_counts_from_the_open_and_skips_the_lunch_break() -> None:
    def at(hour: int, minute: int = 0) -> datetime:
        return datetime(2026, 11, 25, hour, minute, tzinfo=UTC)

    day = Session(
        day=date(2026, 11, 25), opens_at=at(1, 30), closes_at=at(8), break_starts_at=at(4), break_ends_at=at(5)
    )
    table = SessionTable("XHKG", "Asia/Hong_Kong", (day,))
    found = due.slots(rule_text.parse("every 1h in session"), table, at(2), at(8))
    assert found == [at(2, 30), at(3, 30), at(5, 30), at(6, 30), at(7, 30)]


def test_around_the_clock_steps_begin_at_midnight() -> None:
    rule = rule_text.parse("every 7h in session")
    found = due.slots(rule, AlwaysOpen(), datetime(2026, 1, 1, 20, tzinfo=UTC), datetime(2026, 1, 2, 8, tzinfo=UTC))
    assert [each.hour for each in found] == [21, 0, 7]


def test_a_rule_of_the_market_stops_where_the_table_stops() -> None:
    rule = usual("daily-report")
    assert shown([due.next_after(rule, TABLE, instant("2026-12-30 18:00"))]) == ["2026-12-31 17:00"]
    with pytest.raises(NotCovered, match="calendars refresh XNYS"):
        due.next_after(rule, TABLE, instant("2026-12-31 18:00"))
    with pytest.raises(NotCovered, match="2027-01-01 is asked for"):
        due.slots(rule, TABLE, instant("2026-12-30 00:00"), instant("2027-01-02 00:00"))
    with pytest.raises(NotCovered):
        due.slots(usual("market-data"), TABLE, instant("2025-12-30 00:00"), instant("2026-01-10 00:00"))
    with pytest.raises(NotCovered):
        due.slots(usual("market-data"), TABLE, instant("2026-12-30 00:00"), instant("2027-01-10 00:00"))


def test_the_last_session_of_a_month_is_not_guessed_from_half_a_month() -> None:
    half = SessionTable("XNYS", "America/New_York", tuple(row for row in TABLE.rows if row.day < date(2026, 11, 14)))
    with pytest.raises(NotCovered, match="2026-11-14 is asked for"):
        due.next_after(usual("monthly-report"), half, instant("2026-11-12 19:00"))
    assert shown([due.next_after(usual("monthly-report"), half, instant("2026-10-12 12:00"))]) == ["2026-10-30 18:00"]


def test_a_rule_without_the_market_needs_no_table() -> None:
    empty = SessionTable("XNYS", "America/New_York", ())
    rule = rule_text.parse("at 03:00 on Sun")
    assert not rule.needs_sessions
    assert shown([due.next_after(rule, empty, instant("2026-11-25 12:00"))]) == ["2026-11-29 03:00"]
    assert usual("market-data").needs_sessions
    with pytest.raises(NotCovered, match="never loaded"):
        due.next_after(usual("market-data"), empty, instant("2026-11-25 12:00"))


def test_what_can_never_be_due_says_so() -> None:
    with pytest.raises(NeverDue, match="no known pre-market"):
        due.next_after(usual("pre-market"), AlwaysOpen(), instant("2026-11-25 12:00"))


def test_a_session_that_never_comes_is_told_from_a_table_that_is_too_short() -> None:
    weekdays = (date(2026, 1, 1) + timedelta(days=count) for count in range(800))
    table = SessionTable("XNYS", "America/New_York", tuple(session(day) for day in weekdays if day.weekday() < 5))
    with pytest.raises(NeverDue, match="nothing that it names comes within 375 days"):
        due.next_after(rule_text.parse("at open on Sat"), table, instant("2026-11-25 12:00"))
    with pytest.raises(NotCovered, match="calendars refresh XNYS"):
        due.next_after(rule_text.parse("at open on Sat"), TABLE, instant("2026-11-25 12:00"))


@pytest.mark.parametrize("which", ["first", "last"])
def test_the_rarest_rule_comes_within_the_horizon(which: str) -> None:
    days = (date(2020, 1, 2) + timedelta(days=count) for count in range(8 * 366))
    table = SessionTable("XNYS", "America/New_York", tuple(session(day) for day in days if day.weekday() < 5))
    rule, at = rule_text.parse(f"at 08:00 on {which} session of year"), instant("2020-12-01 00:00")
    for _ in range(6):
        at = due.next_after(rule, table, at)
    assert at.astimezone(NEW_YORK).year == (2026 if which == "first" else 2025)


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        due.next_after(usual("backup"), TABLE, datetime(2026, 11, 25, 12))
