"""When does a market trade? Its sessions, and what follows from them: open or not, the phase, the next open and close.

Hours are half open: a market is open from the instant it opens up to, and not at, the instant it closes.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Protocol

from apps.domain import exchanges
from apps.domain.errors import Unavailable

DAY = timedelta(days=1)
# A session of day D lies within D-1 and D+1 in UTC: Chicago's futures open the evening before, New York ends after it.
AROUND = 2 * DAY
_CHUNK = 16 * DAY


class Phase(StrEnum):
    """What a market is doing; a lunch break counts as closed."""

    PRE = "pre"
    OPEN = "open"
    POST = "post"
    CLOSED = "closed"


class NotCovered(Unavailable):
    """The sessions asked about are not in the table; the sentence names the command that puts them there."""

    def __init__(self, name: str, lack: str) -> None:
        super().__init__(f"{lack}: run 'manage.py calendars refresh {name}'", permanent=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One trading day of a market; every instant in UTC. `day` is the exchange's own date of it."""

    day: date
    opens_at: datetime
    closes_at: datetime
    pre_opens_at: datetime | None = None
    post_closes_at: datetime | None = None
    break_starts_at: datetime | None = None
    break_ends_at: datetime | None = None
    early_close: bool = False

    @property
    def starts_at(self) -> datetime:
        """Return when its first phase begins."""
        return self.pre_opens_at or self.opens_at

    @property
    def ends_at(self) -> datetime:
        """Return when its last phase ends."""
        return self.post_closes_at or self.closes_at

    def spans(self) -> tuple[tuple[datetime, datetime], ...]:
        """Return the half-open spans in which it trades: two when it has a lunch break."""
        if self.break_starts_at is None or self.break_ends_at is None:
            return ((self.opens_at, self.closes_at),)
        return (self.opens_at, self.break_starts_at), (self.break_ends_at, self.closes_at)

    def phase_at(self, at: datetime) -> Phase:
        """Return its phase at an instant; closed outside it."""
        if any(since <= at < until for since, until in self.spans()):
            return Phase.OPEN
        if self.starts_at <= at < self.opens_at:
            return Phase.PRE
        return Phase.POST if self.closes_at <= at < self.ends_at else Phase.CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far a calendar knows: its first and last day, and the half-open time they span."""

    first_day: date
    last_day: date
    since: datetime
    until: datetime


EVER = Reach(
    first_day=date.min,
    last_day=date.max,
    since=datetime.min.replace(tzinfo=UTC),
    until=datetime.max.replace(tzinfo=UTC),
)


class Calendar(Protocol):
    """What the rules ask of a calendar, wherever its sessions are kept."""

    @property
    def name(self) -> str:
        """Return its canonical name."""

    @property
    def zone(self) -> str:
        """Return the time zone of its wall clock."""

    @property
    def reach(self) -> Reach:
        """Return what it knows. Raises NotCovered when that is nothing."""

    def sessions(self, since: date, until: date) -> Sequence[Session]:
        """Return the known sessions of the days from `since` up to, not including, `until`, in order."""


class AlwaysOpen:
    """The calendar 24/7: every UTC day is one session, and it never closes."""

    name = exchanges.ALWAYS
    zone = exchanges.ZONES[exchanges.ALWAYS]
    reach = EVER

    def sessions(self, since: date, until: date) -> list[Session]:
        """Return one session for each day."""
        days = (since + DAY * count for count in range((until - since).days))
        return [Session(day=day, opens_at=midnight(day), closes_at=midnight(day + DAY)) for day in days]


@dataclass(frozen=True, slots=True)
class SessionTable:
    """A calendar that holds its sessions in memory, in order of their days."""

    name: str
    zone: str
    rows: tuple[Session, ...]
    _days: list[date] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the days."""
        object.__setattr__(self, "_days", [row.day for row in self.rows])

    @property
    def reach(self) -> Reach:
        """Return what the rows span. Raises NotCovered without rows."""
        return reach_of(self.name, self.rows[0] if self.rows else None, self.rows[-1] if self.rows else None)

    def sessions(self, since: date, until: date) -> tuple[Session, ...]:
        """Return the sessions of some days."""
        return self.rows[bisect_left(self._days, since) : bisect_left(self._days, until)]


def reach_of(name: str, first: Session | None, last: Session | None) -> Reach:
    """Return the reach of a table from its first and last row. Raises NotCovered when it has none."""
    if first is None or last is None:
        raise NotCovered(name, f"the sessions of calendar {name} were never loaded")
    return Reach(first_day=first.day, last_day=last.day, since=first.starts_at, until=last.ends_at)


def midnight(day: date) -> datetime:
    """Return the start of a day in UTC."""
    return datetime.combine(day, time(), UTC)


def phase(calendar: Calendar, at: datetime) -> Phase:
    """Return what the market is doing at an instant. Raises NotCovered."""
    require(calendar, at)
    day = _utc_day(at)
    around = calendar.sessions(day - AROUND, day + AROUND + DAY)
    return next((row.phase_at(at) for row in around if row.starts_at <= at < row.ends_at), Phase.CLOSED)


def is_open(calendar: Calendar, at: datetime) -> bool:
    """Say whether the market trades at an instant, lunch breaks and extended hours excluded. Raises NotCovered."""
    return phase(calendar, at) is Phase.OPEN


def next_open(calendar: Calendar, at: datetime) -> datetime | None:
    """Return the first instant after `at` at which trading begins, after a lunch break too; None when it never stops.

    Raises NotCovered when the table ends before it.
    """
    return _next(calendar, at, lambda row: [since for since, _ in row.spans()])


def next_close(calendar: Calendar, at: datetime) -> datetime | None:
    """Return the first instant after `at` at which trading ends, for a lunch break too; None when it never does.

    Raises NotCovered when the table ends before it.
    """
    return _next(calendar, at, lambda row: [until for _, until in row.spans()])


def between(calendar: Calendar, since: datetime, until: datetime) -> list[Session]:
    """Return the sessions that trade at some instant of [since, until), in order. Raises NotCovered."""
    if since >= until:
        return []
    require(calendar, since)
    require(calendar, until - timedelta.resolution)
    rows = calendar.sessions(_utc_day(since) - AROUND, _utc_day(until) + AROUND)
    return [row for row in rows if row.opens_at < until and row.closes_at > since]


def require(calendar: Calendar, at: datetime) -> None:
    """Refuse an instant that the calendar does not know, or that names no zone. Raises NotCovered and ValueError."""
    if at.tzinfo is None:
        raise ValueError(f"{at} names no time zone; give an instant, in UTC")
    reach = calendar.reach
    if not reach.since <= at < reach.until:
        raise NotCovered(calendar.name, f"calendar {calendar.name} is known {_spanned(reach)}, not at {at:%Y-%m-%d}")


def _next(calendar: Calendar, at: datetime, edges: Callable[[Session], list[datetime]]) -> datetime | None:
    require(calendar, at)
    if calendar.name == exchanges.ALWAYS:
        return None
    for row in _onwards(calendar, _utc_day(at) - AROUND):
        for edge in edges(row):
            if edge > at:
                return edge
    raise NotCovered(calendar.name, f"calendar {calendar.name} is known {_spanned(calendar.reach)}, not after it")


def _onwards(calendar: Calendar, day: date) -> Iterator[Session]:
    last = calendar.reach.last_day
    while day <= last:
        yield from calendar.sessions(day, day + _CHUNK)
        day += _CHUNK


def _utc_day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def _spanned(reach: Reach) -> str:
    return f"from {reach.first_day} to {reach.last_day}"
