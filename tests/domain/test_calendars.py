"""When a market is open, on a year of New York written out by hand."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from apps.domain import calendars, exchanges
from apps.domain.calendars import AlwaysOpen, NotCovered, Phase, Session, SessionTable
from tests.domain.newyork import TABLE, instant, shown

PHASES = {
    "2026-11-25 03:59": Phase.CLOSED,
    "2026-11-25 04:00": Phase.PRE,
    "2026-11-25 09:29": Phase.PRE,
    "2026-11-25 09:30": Phase.OPEN,
    "2026-11-25 15:59": Phase.OPEN,
    "2026-11-25 16:00": Phase.POST,
    "2026-11-25 19:59": Phase.POST,
    "2026-11-25 20:00": Phase.CLOSED,
    "2026-11-26 04:00": Phase.CLOSED,  # Thanksgiving
    "2026-11-26 12:00": Phase.CLOSED,
    "2026-11-27 12:59": Phase.OPEN,  # the half day after it
    "2026-11-27 13:00": Phase.POST,
    "2026-11-27 16:59": Phase.POST,
    "2026-11-27 17:00": Phase.CLOSED,
    "2026-11-28 12:00": Phase.CLOSED,  # Saturday
    "2026-03-06 09:30": Phase.OPEN,  # the Friday before the clocks go forward
    "2026-03-09 09:29": Phase.PRE,  # and the Monday after
    "2026-03-09 09:30": Phase.OPEN,
    "2026-10-30 15:59": Phase.OPEN,  # and back
    "2026-11-02 16:00": Phase.POST,
}


@pytest.mark.parametrize(("at", "phase"), PHASES.items())
def test_the_phase_of_a_market(at: str, phase: Phase) -> None:
    assert calendars.phase(TABLE, instant(at)) is phase
    assert calendars.is_open(TABLE, instant(at)) is (phase is Phase.OPEN)


def test_daylight_saving_moves_the_open_by_an_hour_of_utc() -> None:
    winter, summer = (calendars.next_open(TABLE, datetime(2026, 3, day, 6, tzinfo=UTC)) for day in (6, 9))
    assert (winter, summer) == (datetime(2026, 3, 6, 14, 30, tzinfo=UTC), datetime(2026, 3, 9, 13, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    ("at", "opens", "closes"),
    [
        pytest.param("2026-11-25 09:29", "2026-11-25 09:30", "2026-11-25 16:00", id="before the open"),
        pytest.param("2026-11-25 09:30", "2026-11-27 09:30", "2026-11-25 16:00", id="at the open"),
        pytest.param("2026-11-25 16:00", "2026-11-27 09:30", "2026-11-27 13:00", id="at the close before a holiday"),
        pytest.param("2026-11-26 12:00", "2026-11-27 09:30", "2026-11-27 13:00", id="on the holiday"),
        pytest.param("2026-11-27 13:00", "2026-11-30 09:30", "2026-11-30 16:00", id="at an early close"),
    ],
)
def test_the_next_open_and_close_are_after_the_instant(at: str, opens: str, closes: str) -> None:
    found = [calendars.next_open(TABLE, instant(at)), calendars.next_close(TABLE, instant(at))]
    assert shown([each for each in found if each]) == [opens, closes]


def test_sessions_between_two_instants_trade_within_them() -> None:
    found = calendars.between(TABLE, instant("2026-11-25 16:00"), instant("2026-11-30 09:30"))
    assert [row.day for row in found] == [date(2026, 11, 27)]
    found = calendars.between(TABLE, instant("2026-11-25 15:59"), instant("2026-11-30 09:31"))
    assert [row.day for row in found] == [date(2026, 11, 25), date(2026, 11, 27), date(2026, 11, 30)]
    assert calendars.between(TABLE, instant("2026-11-30 12:00"), instant("2026-11-30 12:00")) == []


def test_a_lunch_break_is_closed_and_ends_with_an_open() -> None:
    def at(hour: int, minute: int = 0) -> datetime:
        return datetime(2026, 11, 25, hour, minute, tzinfo=UTC)

    day = Session(
        day=date(2026, 11, 25), opens_at=at(1, 30), closes_at=at(8), break_starts_at=at(4), break_ends_at=at(5)
    )
    table = SessionTable("XHKG", "Asia/Hong_Kong", (day,))
    assert [calendars.phase(table, at(*when)) for when in [(3, 59), (4, 0), (4, 59), (5, 0)]] == [
        Phase.OPEN,
        Phase.CLOSED,
        Phase.CLOSED,
        Phase.OPEN,
    ]
    assert (calendars.next_close(table, at(2)), calendars.next_open(table, at(2))) == (at(4), at(5))
    assert calendars.next_close(table, at(4)) == at(8)


def test_what_never_closes_has_no_next_open_and_needs_no_table() -> None:
    always = AlwaysOpen()
    for at in (datetime(1999, 12, 31, tzinfo=UTC), datetime(2099, 2, 28, 23, 59, tzinfo=UTC)):
        assert calendars.is_open(always, at)
        assert calendars.next_open(always, at) is None
        assert calendars.next_close(always, at) is None
    leap = calendars.between(always, datetime(2028, 2, 28, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC))
    assert [row.day for row in leap] == [date(2028, 2, 28), date(2028, 2, 29)]


@pytest.mark.parametrize("ask", [calendars.phase, calendars.is_open, calendars.next_open, calendars.next_close])
@pytest.mark.parametrize("at", ["2025-12-31 12:00", "2027-01-01 12:00"])
def test_what_the_table_does_not_know_is_not_guessed(ask: "object", at: str) -> None:
    with pytest.raises(
        NotCovered, match=r"known from 2026-01-02 to 2026-12-31.*run 'manage\.py calendars refresh XNYS'"
    ):
        ask(TABLE, instant(at))


def test_the_last_session_has_no_known_next_open() -> None:
    assert calendars.next_close(TABLE, instant("2026-12-31 12:00")) == instant("2026-12-31 16:00")
    with pytest.raises(NotCovered, match="calendars refresh XNYS"):
        calendars.next_open(TABLE, instant("2026-12-31 12:00"))


def test_an_empty_table_says_how_to_fill_it() -> None:
    empty = SessionTable("XLON", "Europe/London", ())
    with pytest.raises(NotCovered, match=r"never loaded: run 'manage\.py calendars refresh XLON'") as caught:
        calendars.is_open(empty, instant("2026-11-25 12:00"))
    assert caught.value.permanent


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="names no time zone"):
        calendars.is_open(TABLE, datetime(2026, 11, 25, 12))


def test_a_market_changes_state_only_at_the_edges_it_announces() -> None:
    at, until = instant("2026-11-20 00:00"), instant("2026-12-05 00:00")
    edges = set()
    while at < until:
        opens, closes = calendars.next_open(TABLE, at), calendars.next_close(TABLE, at)
        assert opens is not None
        assert closes is not None
        assert calendars.is_open(TABLE, at) is (closes < opens)
        edges |= {opens, closes}
        at += timedelta(minutes=17)
    assert len(edges) == 22  # ten sessions begun within the time, and the eleventh after it


@pytest.mark.parametrize(
    ("name", "own"), [("XNYS", "XNYS"), ("NASDAQ", "XNYS"), ("NYSE", "XNYS"), ("LSE", "XLON"), ("24/7", "24/7")]
)
def test_aliases_name_calendars(name: str, own: str) -> None:
    assert exchanges.canonical(name) == own


@pytest.mark.parametrize(("name", "offer"), [("xnys", "XNYS"), ("NYS", "NYSE"), ("??", "calendars list"), ("", "list")])
def test_an_unknown_calendar_is_refused_with_an_offer(name: str, offer: str) -> None:
    with pytest.raises(exchanges.UnknownCalendar, match=offer):
        exchanges.canonical(name)


def test_sessions_are_values() -> None:
    row = TABLE.rows[0]
    assert replace(row) == row
    assert replace(row, early_close=True) != row
