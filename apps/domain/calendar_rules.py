"""What can be said about when something is due? A moment (at the open, every minute of the session, at 17:00) on some
days (sessions, Sundays, the last session of the month).

Rules are values; `due` finds their instants, `rule_text` reads and writes them.
"""

from dataclasses import dataclass
from datetime import time, timedelta
from enum import StrEnum
from functools import cache
from typing import Final
from zoneinfo import available_timezones

from apps.domain.periods import Period, Which

LONGEST: Final = timedelta(hours=24)  # of a step or an offset
SHORTEST: Final = timedelta(seconds=1)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


class RuleRefused(ValueError):
    """A rule cannot be; the sentence says why and what can."""


class Edge(StrEnum):
    """An end of the session."""

    OPEN = "open"
    CLOSE = "close"


class Window(StrEnum):
    """A part of the trading day."""

    SESSION = "session"
    PRE = "pre-market"
    POST = "after-market"


class Weekday(StrEnum):
    """A day of the week, as it is written in a rule."""

    MON = "Mon"
    TUE = "Tue"
    WED = "Wed"
    THU = "Thu"
    FRI = "Fri"
    SAT = "Sat"
    SUN = "Sun"


WEEK: Final = tuple(Weekday)


@dataclass(frozen=True, slots=True, kw_only=True)
class AtEdge:
    """At the open or close of a session, or so long before (negative) or after it; an early close moves it along."""

    edge: Edge
    offset: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        """Refuse what reaches beyond the neighbouring day."""
        if abs(self.offset) > LONGEST or self.offset.microseconds:
            raise RuleRefused(f"an offset is whole seconds, at most 24h; {self.offset} is not")


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """Every `step` from the start of a part of the trading day up to its end; the end itself only when asked for.

    Steps count from the start (09:30, 10:30, ... for an hour), and those within a lunch break are left out.
    """

    step: timedelta
    window: Window = Window.SESSION
    including_end: bool = False

    def __post_init__(self) -> None:
        """Refuse a step that is no step."""
        if not SHORTEST <= self.step <= LONGEST or self.step.microseconds:
            raise RuleRefused(f"a step is whole seconds from 1s to 24h; {self.step} is not")


@dataclass(frozen=True, slots=True, kw_only=True)
class AtTime:
    """At a wall time, once a day: of the zone named, or of the calendar's own. See `wall_clock` for skipped times."""

    wall: time
    zone: str | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown zone and fractions of a second."""
        if self.wall.microsecond or self.wall.tzinfo is not None:
            raise RuleRefused(f"{self.wall} is not a plain time of day in whole seconds")
        if self.zone is not None and self.zone not in _zones():
            raise RuleRefused(f"no time zone is called {self.zone!r}; write one like America/New_York or UTC")


@dataclass(frozen=True, slots=True)
class EveryDay:
    """Each day, trading or not."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """The days on which the market trades, short ones included."""


@dataclass(frozen=True, slots=True)
class Weekdays:
    """Some days of the week, holidays included."""

    days: frozenset[Weekday]

    def __post_init__(self) -> None:
        """Refuse none."""
        if not self.days:
            raise RuleRefused("name at least one day of the week, like Mon or Mon-Fri")


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOf:
    """The first or last day of each week, month, quarter or year; of its sessions, or of all its days."""

    which: Which
    period: Period
    session: bool = True


Moment = AtEdge | Every | AtTime
Days = EveryDay | Sessions | Weekdays | DayOf


@dataclass(frozen=True, slots=True)
class Rule:
    """A moment on some days. The open, the close and steps of a session exist on sessions only, whatever the days."""

    moment: Moment
    days: Days

    @property
    def needs_sessions(self) -> bool:
        """Say whether the calendar's table matters to it."""
        by_session = isinstance(self.days, Sessions) or (isinstance(self.days, DayOf) and self.days.session)
        return by_session or not isinstance(self.moment, AtTime)
