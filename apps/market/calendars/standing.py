"""Which calendars are needed, and how far do their tables reach?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db.models import Count, Max, Min, Q

from apps.domain import exchanges
from apps.domain.usual_rules import NEW_YORK
from apps.market.models import Instrument, TradingSession

SOON = timedelta(days=60)


class State(StrEnum):
    """What a table is good for."""

    ALWAYS = "always open"  # it needs none
    READY = "ready"
    ENDING = "ending"  # it ends within 60 days
    OUTDATED = "outdated"  # it ended
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One calendar and its table; `used` says that an instrument or the timetable goes by it."""

    name: str
    zone: str
    state: State
    used: bool
    sessions: int = 0
    early_closes: int = 0
    first_day: date | None = None
    last_day: date | None = None

    @property
    def needs_refresh(self) -> bool:
        """Say whether something that goes by it will go wrong soon."""
        return self.used and self.state not in {State.ALWAYS, State.READY}


def in_use() -> list[str]:
    """Return the calendars that need a table: those of the instruments, and the one the timetable goes by."""
    named = set(Instrument.objects.values_list("calendar", flat=True).distinct())
    known = {exchanges.canonical(name) for name in named if name in exchanges.names()}
    return tables([NEW_YORK, *known])


def tables(names: Iterable[str]) -> list[str]:
    """Return the own names of some calendars, each once and sorted, without 24/7. Raises UnknownCalendar."""
    return sorted({exchanges.canonical(name) for name in names} - {exchanges.ALWAYS})


def standings(now: datetime) -> list[Standing]:
    """Return every known calendar with the state of its table, by name."""
    used = {exchanges.ALWAYS, *in_use()}
    found = {row["calendar"]: row for row in _facts()}
    return [_standing(name, found.get(name), used=name in used, today=now.date()) for name in exchanges.ZONES]


def _facts() -> Iterable[Mapping[str, Any]]:
    rows: Iterable[Mapping[str, Any]] = (
        TradingSession.objects.values("calendar")
        .order_by("calendar")
        .annotate(
            sessions=Count("pk"),
            early_closes=Count("pk", filter=Q(early_close=True)),
            first_day=Min("day"),
            last_day=Max("day"),
        )
    )
    return rows


def _standing(name: str, facts: Mapping[str, Any] | None, *, used: bool, today: date) -> Standing:
    last_day = facts["last_day"] if facts else None
    more = {key: value for key, value in (facts or {}).items() if key != "calendar"}
    return Standing(name=name, zone=exchanges.ZONES[name], state=_state(name, last_day, today), used=used, **more)


def _state(name: str, last_day: date | None, today: date) -> State:
    if name == exchanges.ALWAYS:
        return State.ALWAYS
    if last_day is None:
        return State.MISSING
    if last_day < today:
        return State.OUTDATED
    return State.ENDING if last_day < today + SOON else State.READY
