"""When is a rule due? The instants a calendar rule names, on the calendar it is asked about."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from apps.domain import exchanges, periods, wall_clock
from apps.domain.calendar_rules import (
    WEEK,
    AtEdge,
    AtTime,
    DayOf,
    Days,
    Edge,
    Every,
    Rule,
    Sessions,
    Weekdays,
    Window,
)
from apps.domain.calendars import AROUND, DAY, Calendar, NotCovered, Session
from apps.domain.errors import Problem, Refused
from apps.domain.periods import Period, Which

HORIZON: Final = timedelta(days=375)  # the rarest rule is due once a year, a few days earlier or later


class NeverDue(Refused):
    """The calendar has no instant that the rule names."""


def next_after(rule: Rule, calendar: Calendar, at: datetime) -> datetime:
    """Return the first instant after `at` at which the rule is due, in UTC.

    Raises NotCovered when the calendar ends before it, NeverDue when there is none within 375 days.
    """
    for instant in _due(rule, calendar, at + timedelta.resolution, at + HORIZON):
        return instant
    raise _never(calendar, f"nothing that it names comes within {HORIZON.days} days")


def slots(rule: Rule, calendar: Calendar, since: datetime, until: datetime) -> list[datetime]:
    """Return every instant of [since, until) at which the rule is due, in order and each once, in UTC.

    Raises NotCovered when the calendar does not know all of that time, NeverDue when the rule cannot be due at all.
    """
    return list(_due(rule, calendar, since, until))


def _due(rule: Rule, calendar: Calendar, since: datetime, until: datetime) -> Iterator[datetime]:
    if since.tzinfo is None or until.tzinfo is None:
        raise ValueError("give instants with a time zone, in UTC")
    since, until = since.astimezone(UTC), until.astimezone(UTC)
    known = _Months(calendar)
    last = None
    for instant in _candidates(rule, known, since, until):
        if since <= instant < until and instant != last:
            last = instant
            yield instant


def _candidates(rule: Rule, known: "_Months", since: datetime, until: datetime) -> Iterator[datetime]:
    moment = rule.moment
    if isinstance(moment, AtTime):
        return _at_times(moment, rule.days, known, since, until)
    if isinstance(moment, AtEdge):
        return _at_edges(moment, rule.days, known, since, until)
    return _steps(moment, rule.days, known, since, until)


def _at_times(moment: AtTime, days: Days, known: "_Months", since: datetime, until: datetime) -> Iterator[datetime]:
    zone = ZoneInfo(moment.zone or known.calendar.zone)
    day = since.astimezone(zone).date() - DAY  # a day skipped as a whole has its times on the next one
    end = until.astimezone(zone).date()
    while day <= end:
        instant = wall_clock.instant_of(day, moment.wall, zone)
        # Days are judged only when their instant is asked for: judging more could ask beyond the calendar's end.
        if since <= instant < until and _is_among(day, days, known):
            yield instant
        day += DAY


def _at_edges(moment: AtEdge, days: Days, known: "_Months", since: datetime, until: datetime) -> Iterator[datetime]:
    for row in known.trading(since - moment.offset, until - moment.offset):
        edge = row.opens_at if moment.edge is Edge.OPEN else row.closes_at
        instant = edge + moment.offset
        if since <= instant < until and _is_among(row.day, days, known):
            yield instant


def _steps(moment: Every, days: Days, known: "_Months", since: datetime, until: datetime) -> Iterator[datetime]:
    if moment.window is not Window.SESSION and known.calendar.name not in exchanges.EXTENDED:
        raise _never(known.calendar, f"it has no known {moment.window}")
    for row in known.trading(since, until):
        if row.ends_at >= since and _is_among(row.day, days, known):
            yield from _steps_of(moment, row, since)


def _steps_of(moment: Every, row: Session, since: datetime) -> Iterator[datetime]:
    spans = _spans_of(moment.window, row)
    if not spans:
        return
    instant, (_, end) = spans[0][0], spans[-1]
    instant += max(0, (since - instant) // moment.step) * moment.step
    gaps = [(ends, starts) for (_, ends), (starts, _) in pairwise(spans)]
    while instant < end or (moment.including_end and instant == end):
        if not any(ends <= instant < starts for ends, starts in gaps):
            yield instant
        instant += moment.step


def _spans_of(window: Window, row: Session) -> tuple[tuple[datetime, datetime], ...]:
    if window is Window.SESSION:
        return row.spans()
    if window is Window.PRE:
        return ((row.pre_opens_at, row.opens_at),) if row.pre_opens_at else ()
    return ((row.closes_at, row.post_closes_at),) if row.post_closes_at else ()


def _is_among(day: date, days: Days, known: "_Months") -> bool:
    if isinstance(days, Weekdays):
        return WEEK[day.weekday()] in days.days
    if isinstance(days, Sessions):
        return known.trades_on(day)
    if isinstance(days, DayOf):
        return _is_day_of(day, days, known)
    return True


def _is_day_of(day: date, days: DayOf, known: "_Months") -> bool:
    first, end = periods.around(day, days.period)
    if not days.session:
        return day == (first if days.which is Which.FIRST else end - DAY)
    if not known.trades_on(day):
        return False
    rest = (first, day) if days.which is Which.FIRST else (day + DAY, end)
    return not known.trades_between(*rest)


@dataclass(slots=True)
class _Months:
    """The sessions of a calendar, asked for a month at a time, and never beyond what it knows."""

    calendar: Calendar
    _rows: dict[date, Sequence[Session]] = field(default_factory=dict)

    def trading(self, since: datetime, until: datetime) -> Iterator[Session]:
        """Yield the sessions that may touch [since, until), in order. Raises NotCovered on reaching what is unknown."""
        reach = self.calendar.reach
        if since < reach.since:
            raise self._lack(since.date())
        day = max(since.date() - AROUND, reach.first_day)
        while day <= min(until.date() + AROUND, reach.last_day):
            _, end = periods.around(day, Period.MONTH)
            for row in self._of(day):
                if row.day >= day and row.starts_at <= until:
                    yield row
            day = end
        if until > reach.until:
            raise self._lack(until.date())

    def trades_on(self, day: date) -> bool:
        """Say whether a day is a session. Raises NotCovered."""
        self._require(day)
        return any(row.day == day for row in self._of(day))

    def trades_between(self, since: date, until: date) -> bool:
        """Say whether any day from `since` up to, not including, `until` is a session. Raises NotCovered."""
        day = since
        while day < until:
            _, end = periods.around(day, Period.MONTH)
            if any(since <= row.day < until for row in self._of(day)):
                return True
            day = end
        if since < until:
            self._require(since)
            self._require(until - DAY)
        return False

    def _of(self, day: date) -> Sequence[Session]:
        first, end = periods.around(day, Period.MONTH)
        if first not in self._rows:
            self._rows[first] = self.calendar.sessions(first, end)
        return self._rows[first]

    def _require(self, day: date) -> None:
        if not self.calendar.reach.first_day <= day <= self.calendar.reach.last_day:
            raise self._lack(day)

    def _lack(self, day: date) -> NotCovered:
        reach = self.calendar.reach
        known = f"known from {reach.first_day} to {reach.last_day}"
        return NotCovered(self.calendar.name, f"calendar {self.calendar.name} is {known}, and {day} is asked for")


def _never(calendar: Calendar, why: str) -> NeverDue:
    remedy = "choose another calendar or another rule"
    return NeverDue(Problem(field="rule", value=f"on calendar {calendar.name}", rule=why, remedy=remedy))
