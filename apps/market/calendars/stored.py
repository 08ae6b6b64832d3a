"""Where a calendar's sessions are kept: the rows of the last refresh, read as they are asked for."""

from collections.abc import Iterable
from datetime import date
from functools import cached_property
from typing import Any

from apps.domain import calendars, exchanges
from apps.domain.calendars import EVER, AlwaysOpen, Calendar, Reach, Session, SessionTable
from apps.market.models import TradingSession

FIELDS = (
    "day",
    "opens_at",
    "closes_at",
    "pre_opens_at",
    "post_closes_at",
    "break_starts_at",
    "break_ends_at",
    "early_close",
)


class StoredCalendar:
    """A calendar over its rows; make one per question, it remembers only how far the table reaches."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.zone = exchanges.ZONES[name]

    @cached_property
    def reach(self) -> Reach:
        """Return what the table spans. Raises NotCovered when it is empty."""
        rows = TradingSession.objects.filter(calendar=self.name).values_list(*FIELDS)
        found = _sessions(rows.order_by("day")[:1].union(rows.order_by("-day")[:1], all=True))
        ends = sorted(found, key=lambda row: row.day)
        return calendars.reach_of(self.name, ends[0] if ends else None, ends[-1] if ends else None)

    def sessions(self, since: date, until: date) -> list[Session]:
        """Return the stored sessions of some days, in order."""
        rows = TradingSession.objects.filter(calendar=self.name, day__gte=since, day__lt=until)
        return list(_sessions(rows.order_by("day").values_list(*FIELDS)))


def of(name: str) -> Calendar:
    """Return the calendar of a name or alias, as stored. Raises UnknownCalendar."""
    own = exchanges.canonical(name)
    return AlwaysOpen() if own == exchanges.ALWAYS else StoredCalendar(own)


def loaded(name: str, since: date = EVER.first_day, until: date = EVER.last_day) -> Calendar:
    """Return the calendar of a name with the sessions of some days in memory, for who asks thousands of questions."""
    calendar = of(name)
    if isinstance(calendar, AlwaysOpen):
        return calendar
    return SessionTable(calendar.name, calendar.zone, tuple(calendar.sessions(since, until)))


def _sessions(rows: Iterable[tuple[Any, ...]]) -> list[Session]:
    return [Session(**dict(zip(FIELDS, row, strict=True))) for row in rows]
