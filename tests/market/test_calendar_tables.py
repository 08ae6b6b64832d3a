"""The stored sessions: refreshed without harm as often as one likes, and clear when they do not suffice."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from apps.domain.exchanges import UnknownCalendar
from apps.journal.models import Event
from apps.market import calendars
from apps.market.calendars import NotCovered, Phase, Session, library, refresh, standing
from apps.market.calendars.standing import State
from apps.market.models import Instrument, TradingSession

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)


@pytest.fixture
def share(instrument: Instrument) -> Instrument:
    """A share that trades by New York's hours, under the name people give them."""
    instrument.symbol, instrument.calendar = "SPY", "NASDAQ"
    instrument.save()
    return instrument


@pytest.fixture
def refreshed(db: None) -> None:
    refresh.refresh(["XNYS"], NOW)


@pytest.fixture(scope="module")
def two_years() -> list[Session]:
    return library.read("XNYS", date(2026, 1, 1), date(2027, 12, 31))


@pytest.fixture
def new_york(db: None, two_years: list[Session]) -> None:
    """The sessions of 2026 and 2027; what the tests ask about, without the eight years before."""
    TradingSession.objects.bulk_create(TradingSession(calendar="XNYS", **asdict(row)) for row in two_years)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_refresh_covers_ten_years_and_twelve_months(db: None) -> None:
    (done,) = refresh.refresh(["NYSE", "NASDAQ", "24/7"], NOW)
    assert done.calendar == "XNYS"
    assert done.first_day <= NOW.date() - timedelta(days=3653)
    assert done.last_day >= NOW.date() + timedelta(days=365)
    assert (done.added, done.changed, done.removed) == (done.sessions, 0, 0)
    assert TradingSession.objects.count() == done.sessions


def test_a_second_refresh_changes_nothing(refreshed: None) -> None:
    before = list(TradingSession.objects.values_list())
    (done,) = refresh.refresh(["XNYS"], NOW)
    assert (done.added, done.changed, done.removed) == (0, 0, 0)
    assert list(TradingSession.objects.values_list()) == before
    assert Event.objects.filter(kind="calendar.refreshed").count() == 1


def test_a_refresh_mends_what_is_wrong_and_writes_down_what(refreshed: None) -> None:
    TradingSession.objects.filter(day=date(2026, 11, 25)).delete()
    TradingSession.objects.filter(day=date(2026, 11, 27)).update(closes_at=at("2026-11-27 21:00"), early_close=False)
    TradingSession.objects.create(
        calendar="XNYS", day=date(2026, 11, 26), opens_at=at("2026-11-26 14:30"), closes_at=at("2026-11-26 21:00")
    )
    (done,) = refresh.refresh(["XNYS"], NOW)
    assert (done.added, done.changed, done.removed) == (1, 1, 1)
    assert TradingSession.objects.get(day=date(2026, 11, 27)).closes_at == at("2026-11-27 18:00")
    assert not TradingSession.objects.filter(day=date(2026, 11, 26)).exists()
    payload = Event.objects.filter(kind="calendar.refreshed").latest("pk").payload
    assert (payload["changed"], payload["removed"]) == (["2026-11-27"], ["2026-11-26"])


def test_a_later_refresh_adds_the_coming_year_and_keeps_the_past(refreshed: None) -> None:
    first = TradingSession.objects.earliest("day").day
    (done,) = refresh.refresh(["XNYS"], NOW.replace(year=2029))
    assert done.first_day == first
    assert done.last_day > date(2030, 12, 31)
    assert (done.changed, done.removed) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_refreshes_at_once_leave_one_table() -> None:
    def run(_: int) -> None:
        try:
            refresh.refresh(["XNYS", "XLON"], NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(run, range(3))) == [None] * 3
    again = refresh.refresh(["XNYS", "XLON"], NOW)
    assert [(each.added, each.changed, each.removed) for each in again] == [(0, 0, 0), (0, 0, 0)]


def test_a_calendar_announced_a_year_at_a_time_says_that_it_ends(db: None) -> None:
    errors = StringIO()
    call_command("calendars", "refresh", "SSE", "XNYS", stdout=StringIO(), stderr=errors)
    assert errors.getvalue().splitlines() == [
        "XSHG is announced no further; a newer exchange-calendars will know more."
    ]


def test_an_unknown_name_writes_nothing(db: None) -> None:
    with pytest.raises(UnknownCalendar, match="XNYS"):
        refresh.refresh(["XLON", "XNYZ"], NOW)
    assert not TradingSession.objects.exists()


def test_an_instrument_is_asked_by_its_calendars_alias(share: Instrument, new_york: None) -> None:
    assert calendars.phase(share, at("2026-11-25 14:29")) is Phase.PRE
    assert calendars.is_open(share, at("2026-11-25 14:30"))
    assert calendars.next_close(share, at("2026-11-26 12:00")) == at("2026-11-27 18:00")
    assert calendars.next_open(share, at("2026-11-25 21:00")) == at("2026-11-27 14:30")
    found = calendars.sessions(share, at("2026-11-26 00:00"), at("2026-12-01 00:00"))
    assert [session.day.day for session in found] == [27, 30]


def test_stored_and_loaded_calendars_agree(new_york: None) -> None:
    stored, loaded = calendars.of("XNYS"), calendars.loaded("XNYS")
    assert stored.reach == loaded.reach
    assert tuple(stored.sessions(date(2026, 1, 1), date(2027, 1, 1))) == tuple(
        loaded.sessions(date(2026, 1, 1), date(2027, 1, 1))
    )


def test_24_7_needs_no_table(instrument: Instrument) -> None:
    assert calendars.is_open(instrument, NOW)
    assert calendars.next_close(instrument, NOW) is None
    assert calendars.refuse_closed(instrument, NOW) is None


def test_a_missing_table_names_its_remedy(share: Instrument) -> None:
    with pytest.raises(NotCovered, match="never loaded: run 'manage\\.py calendars refresh XNYS'"):
        calendars.is_open(share, NOW)


def test_an_outdated_table_names_its_remedy(share: Instrument, new_york: None) -> None:
    with pytest.raises(NotCovered, match="run 'manage\\.py calendars refresh XNYS'"):
        calendars.is_open(share, NOW.replace(year=2030))


@pytest.mark.parametrize(
    ("when", "says"),
    [
        pytest.param("2026-11-25 12:00", "in its pre-market", id="pre-market"),
        pytest.param("2026-11-27 18:00", "in its after-market", id="after an early close"),
        pytest.param("2026-11-26 15:00", "XNYS is closed; it opens at 2026-11-27 14:30 UTC", id="a holiday"),
        pytest.param("2040-01-01 12:00", "hours are not known; .*manage.py calendars refresh XNYS", id="beyond"),
    ],
)
def test_nothing_is_opened_while_the_market_is_closed(share: Instrument, new_york: None, when: str, says: str) -> None:
    problem = calendars.refuse_closed(share, at(when))
    assert problem is not None
    assert problem.field == "instrument"
    assert re.search(says, str(problem)), str(problem)


def test_an_open_market_refuses_nothing(share: Instrument, new_york: None) -> None:
    assert calendars.refuse_closed(share, at("2026-11-27 17:59")) is None


def test_hours_that_are_not_known_refuse(share: Instrument) -> None:
    problem = calendars.refuse_closed(share, NOW)
    assert problem is not None
    assert "calendars refresh XNYS" in problem.remedy
    share.calendar = "MOON"
    problem = calendars.refuse_closed(share, NOW)
    assert problem is not None
    assert "no market calendar is called 'MOON'" in problem.remedy


def test_an_instrument_names_a_known_calendar(share: Instrument) -> None:
    share.full_clean()
    share.calendar = "NYCE"
    with pytest.raises(ValidationError, match="did you mean NYSE"):
        share.full_clean()


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param({"closes_at": at("2026-11-25 14:30")}, id="closes as it opens"),
        pytest.param({"pre_opens_at": at("2026-11-25 15:00")}, id="a pre-market after the open"),
        pytest.param({"post_closes_at": at("2026-11-25 20:00")}, id="an after-market before the close"),
        pytest.param({"break_starts_at": at("2026-11-25 17:00")}, id="a break without end"),
        pytest.param(
            {"break_starts_at": at("2026-11-25 17:00"), "break_ends_at": at("2026-11-25 22:00")},
            id="a break beyond the close",
        ),
    ],
)
def test_impossible_sessions_are_refused_by_the_table(db: None, columns: dict[str, datetime]) -> None:
    hours = {"opens_at": at("2026-11-25 14:30"), "closes_at": at("2026-11-25 21:00")}
    with pytest.raises(IntegrityError), transaction.atomic():
        TradingSession.objects.create(calendar="XNYS", day=date(2026, 11, 25), **{**hours, **columns})


def test_the_standing_of_calendars(share: Instrument, new_york: None) -> None:
    def state(now: datetime) -> dict[str, State]:
        return {each.name: each.state for each in standing.standings(now) if each.used}

    assert state(NOW) == {"24/7": State.ALWAYS, "XNYS": State.READY}
    assert state(at("2027-12-01 00:00"))["XNYS"] is State.ENDING
    assert state(at("2028-03-01 00:00"))["XNYS"] is State.OUTDATED
    share.calendar = "XLON"
    share.save()
    assert state(NOW)["XLON"] is State.MISSING
    share.calendar = "MOON"  # only a person with SQL can do this
    share.save()
    assert set(state(NOW)) == {"24/7", "XNYS"}


def run(*words: str) -> str:
    out = StringIO()
    call_command("calendars", *words, stdout=out)
    return out.getvalue()


def test_the_command_refreshes_what_is_in_use_lists_and_shows(share: Instrument) -> None:
    with pytest.raises(CommandError, match="XNYS need 'manage\\.py calendars refresh'"):
        run("list", "--used", "--check")
    (first,) = json.loads(run("refresh", "--json"))
    assert (first["calendar"], first["added"]) == ("XNYS", first["sessions"])
    assert "0 added, 0 changed, 0 removed" in run("refresh", "NASDAQ")
    used = json.loads(run("list", "--used", "--check", "--json"))
    assert {each["name"]: each["state"] for each in used} == {"24/7": "always open", "XNYS": "ready"}
    assert len(run("list").splitlines()) == len(json.loads(run("list", "--json"))) == 71
    shown = run("show", "NYSE", "--since", "2026-11-25", "--until", "2026-11-28").splitlines()
    assert shown[0] == "XNYS, times of America/New_York"
    assert [line[:14] for line in shown[1:]] == ["Wed 2026-11-25", "Fri 2026-11-27"]
    assert shown[2].endswith("pre 04:00  09:30-13:00 (14:30-18:00 UTC)  post 17:00  early close")
    (half,) = json.loads(run("show", "XNYS", "--since", "2026-11-26", "--until", "2026-11-28", "--json"))
    assert half["closes_at"] == "2026-11-27T18:00:00+00:00"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("show", "NYCE"), "did you mean NYSE"),
        (("show", "XLON"), "never loaded: run 'manage\\.py calendars refresh XLON'"),
        (("refresh", "XXXX"), "no market calendar is called 'XXXX'"),
        (("show", "XNYS", "--since", "tomorrow"), "is not a day"),
        (("show", "XNYS", "--since", "2040-01-01"), "not from 2040-01-01 up to 2040-01-11: run"),
    ],
)
def test_the_command_says_what_is_wrong(new_york: None, words: tuple[str, ...], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        run(*words)
