"""What the calendar library knows of a market's sessions.

It brings pandas along, some 80 MB: only the refresh imports this module, never a process that serves or watches.
"""

from datetime import UTC, date, datetime
from functools import cache
from zoneinfo import ZoneInfo

import exchange_calendars  # type: ignore[import-untyped]  # ships no types
import pandas  # type: ignore[import-untyped]  # ships no types

from apps.domain import exchanges, wall_clock
from apps.domain.calendars import Session
from apps.domain.exchanges import EXTENDED, ZONES


def read(name: str, since: date, until: date) -> list[Session]:
    """Return the sessions of a calendar from day `since` to day `until`, both included, as far as the library knows.

    Raises UnknownCalendar.
    """
    own = exchanges.canonical(name)
    first, last = _bounds(own)
    start, end = pandas.Timestamp(max(since, first)), pandas.Timestamp(min(until, last))
    calendar = exchange_calendars.get_calendar(own, start=start, end=end)
    early = {label.date() for label in calendar.early_closes}
    return [_session(own, row, early) for row in calendar.schedule.itertuples()]


@cache
def _bounds(name: str) -> tuple[date, date]:
    calendar = exchange_calendars.get_calendar(name)
    first, last = calendar.bound_min(), calendar.bound_max()
    return first.date() if first is not None else date.min, last.date() if last is not None else date.max


def _session(name: str, row: "pandas.Series", early: set[date]) -> Session:
    day = row.Index.date()
    opens_at, closes_at = _instant(row.open), _instant(row.close)
    if opens_at is None or closes_at is None:
        raise ValueError(f"the library gives {name} no hours on {day}")
    pre_opens_at, post_closes_at = _extended(name, day, closes_at)
    return Session(
        day=day,
        opens_at=opens_at,
        closes_at=closes_at,
        pre_opens_at=pre_opens_at,
        post_closes_at=post_closes_at,
        break_starts_at=_instant(row.break_start),
        break_ends_at=_instant(row.break_end),
        early_close=day in early,
    )


def _extended(name: str, day: date, closes_at: datetime) -> tuple[datetime, datetime] | tuple[None, None]:
    hours = EXTENDED.get(name)
    if hours is None:
        return None, None
    return wall_clock.instant_of(day, hours.pre_opens, ZoneInfo(ZONES[name])), closes_at + hours.post_lasts


def _instant(stamp: "pandas.Timestamp") -> datetime | None:
    return None if pandas.isna(stamp) else stamp.to_pydatetime().astimezone(UTC)
