"""When does an instrument trade? Answered from the stored sessions of its calendar, without the calendar library."""

from datetime import datetime

from apps.domain import calendars
from apps.domain.calendars import Calendar, NotCovered, Phase, Session
from apps.domain.errors import Problem
from apps.domain.exchanges import UnknownCalendar
from apps.market.calendars.stored import loaded, of
from apps.market.models import Instrument

__all__ = (
    "NotCovered",
    "Phase",
    "Session",
    "calendar_of",
    "is_open",
    "loaded",
    "next_close",
    "next_open",
    "of",
    "phase",
    "refuse_closed",
    "sessions",
)


def calendar_of(instrument: Instrument) -> Calendar:
    """Return the calendar an instrument trades by. Raises UnknownCalendar."""
    return of(instrument.calendar)


def is_open(instrument: Instrument, at: datetime) -> bool:
    """Say whether an instrument's market trades at an instant, extended hours excluded. Raises NotCovered."""
    return calendars.is_open(calendar_of(instrument), at)


def phase(instrument: Instrument, at: datetime) -> Phase:
    """Return pre, open, post or closed. Raises NotCovered."""
    return calendars.phase(calendar_of(instrument), at)


def next_open(instrument: Instrument, at: datetime) -> datetime | None:
    """Return when its market next opens after an instant; None when it never closes. Raises NotCovered."""
    return calendars.next_open(calendar_of(instrument), at)


def next_close(instrument: Instrument, at: datetime) -> datetime | None:
    """Return when its market next closes after an instant; None when it never does. Raises NotCovered."""
    return calendars.next_close(calendar_of(instrument), at)


def sessions(instrument: Instrument, since: datetime, until: datetime) -> list[Session]:
    """Return the sessions that trade at some instant of [since, until), in order. Raises NotCovered."""
    return calendars.between(calendar_of(instrument), since, until)


def refuse_closed(instrument: Instrument, now: datetime) -> Problem | None:
    """Return why nothing may be opened in an instrument now, or None; hours that are not known refuse as well.

    For entries only: an exit is never kept from happening.
    """
    try:
        calendar = calendar_of(instrument)
        state = calendars.phase(calendar, now)
    except (NotCovered, UnknownCalendar) as error:
        return _problem(instrument, "its trading hours are not known", str(error))
    if state is Phase.OPEN:
        return None
    return _problem(instrument, f"its market {calendar.name} is {_words(state)}", _when(calendar, now))


def _problem(instrument: Instrument, rule: str, remedy: str) -> Problem:
    return Problem(field="instrument", value=instrument.symbol, rule=rule, remedy=remedy)


def _words(state: Phase) -> str:
    return {Phase.PRE: "in its pre-market", Phase.POST: "in its after-market"}.get(state, "closed")


def _when(calendar: Calendar, now: datetime) -> str:
    try:
        opens = calendars.next_open(calendar, now)
    except NotCovered as error:
        return str(error)
    return f"it opens at {opens:%Y-%m-%d %H:%M} UTC"
