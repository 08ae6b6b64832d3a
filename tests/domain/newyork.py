"""The year 2026 of New York's exchanges, from the exchange's published holidays: no library, no database."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from apps.domain.calendars import Session, SessionTable

NEW_YORK = ZoneInfo("America/New_York")
HOLIDAYS = {
    date(2026, 1, 1),
    date(2026, 1, 19),
    date(2026, 2, 16),
    date(2026, 4, 3),
    date(2026, 5, 25),
    date(2026, 6, 19),
    date(2026, 7, 3),
    date(2026, 9, 7),
    date(2026, 11, 26),
    date(2026, 12, 25),
}
EARLY = {date(2026, 11, 27), date(2026, 12, 24)}


def instant(text: str) -> datetime:
    """Return the instant of a wall time in New York: `2026-11-27 13:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


def shown(instants: list[datetime]) -> list[str]:
    """Return instants as New York's clocks show them."""
    return [f"{each.astimezone(NEW_YORK):%Y-%m-%d %H:%M}" for each in instants]


def session(day: date) -> Session:
    closes = time(13) if day in EARLY else time(16)
    return Session(
        day=day,
        opens_at=_at(day, time(9, 30)),
        closes_at=_at(day, closes),
        pre_opens_at=_at(day, time(4)),
        post_closes_at=_at(day, closes) + timedelta(hours=4),
        early_close=day in EARLY,
    )


def _at(day: date, wall: time) -> datetime:
    return datetime.combine(day, wall, NEW_YORK).astimezone(UTC)


DAYS = [date(2026, 1, 1) + timedelta(days=count) for count in range(365)]
TABLE = SessionTable(
    "XNYS",
    "America/New_York",
    tuple(session(day) for day in DAYS if day.weekday() < 5 and day not in HOLIDAYS),
)
