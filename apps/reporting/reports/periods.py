"""Which time is a report about? From close to close of a calendar, so that reports of one kind tile all time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, pairwise
from typing import Final

from apps.domain.calendars import DAY, Calendar, Session
from apps.reporting.models import ReportKind

LEAD: Final = timedelta(hours=1)  # a morning report is made so long before the open
NO_NIGHT: Final = timedelta(hours=6)  # and so long after it where one session begins as the last one ends
_AHEAD: Final = 45 * DAY  # longer than any month: what lies in it tells whether a month has ended
_BACK: Final = {ReportKind.DAILY: 6, ReportKind.WEEKLY: 9, ReportKind.MONTHLY: 40, ReportKind.MORNING: 6}  # days each
_SPARE: Final = 20 * DAY  # the longest holidays


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A half-open stretch of time and the session day it is named after."""

    kind: ReportKind
    day: date
    since: datetime
    until: datetime


def ended(calendar: Calendar, kind: ReportKind, now: datetime, *, most: int) -> list[Period]:
    """Return the last periods of a kind that have ended, newest first, `most` at most; fewer where sessions lack."""
    today = now.astimezone(UTC).date()
    first = today - most * _BACK[kind] * DAY - _SPARE
    rows = list(calendar.sessions(first, today + _AHEAD))
    found = _mornings(rows) if kind == ReportKind.MORNING else _closes(rows, kind)
    return [period for period in reversed(list(found)) if period.until <= now][:most]


def of_day(calendar: Calendar, kind: ReportKind, day: date) -> Period | None:
    """Return the period of a kind that lies around a day: the one whose own day is the first from there on."""
    rows = list(calendar.sessions(day - _BACK[kind] * DAY - _SPARE, day + _AHEAD + _SPARE))
    found = _mornings(rows) if kind == ReportKind.MORNING else _closes(rows, kind)
    return next((period for period in found if period.day >= day), None)


def _closes(rows: Sequence[Session], kind: ReportKind) -> Iterator[Period]:
    """Yield periods from the last close of one group of sessions to that of the next.

    The last group may not be whole, so it ends nothing.
    """
    ends = [list(group)[-1] for _, group in groupby(rows, key=_GROUPS[kind])][:-1]
    for before, last in pairwise(ends):
        yield Period(kind=kind, day=last.day, since=before.closes_at, until=last.closes_at)


def _mornings(rows: Sequence[Session]) -> Iterator[Period]:
    for before, session in pairwise(rows):
        night = session.opens_at - before.closes_at
        until = session.opens_at - min(LEAD, night / 2) if night > timedelta(0) else session.opens_at + NO_NIGHT
        yield Period(kind=ReportKind.MORNING, day=session.day, since=before.closes_at, until=until)


def _week(session: Session) -> object:
    """Tell one week from another; a week of reports begins on Saturday and ends on Friday."""
    return (session.day.toordinal() + 1) // 7


_GROUPS: Final[dict[ReportKind, Callable[[Session], object]]] = {
    ReportKind.DAILY: lambda session: session.day,
    ReportKind.WEEKLY: _week,
    ReportKind.MONTHLY: lambda session: (session.day.year, session.day.month),
}
