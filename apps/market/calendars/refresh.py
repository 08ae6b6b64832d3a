"""Putting the sessions of calendars into the table; run as often as one likes, by a command or a job of its own.

Importing this module imports the calendar library and pandas: do so inside the job, not beside it.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

from django.db import transaction

from apps.domain.calendars import Session
from apps.journal import services as journal
from apps.market.calendars import library, standing
from apps.market.calendars.stored import FIELDS, StoredCalendar
from apps.market.models import TradingSession

YEARS_BACK = 10
# Beyond the whole years asked for, so that the first and last session of the outermost months are known to be such.
MARGIN = timedelta(days=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What a refresh did to one calendar's table; `whole` says that the library knew all the days asked for."""

    calendar: str
    first_day: date
    last_day: date
    sessions: int
    added: int
    changed: int
    removed: int
    whole: bool


def span(now: datetime) -> tuple[date, date]:
    """Return the days a refresh covers: ten whole years back, and at least twelve months ahead."""
    return date(now.year - YEARS_BACK, 1, 1) - MARGIN, date(now.year + 1, 12, 31) + MARGIN


def refresh(names: Iterable[str], now: datetime) -> list[Refreshed]:
    """Make the tables of some calendars equal to the library; rows from before its span are kept.

    Raises UnknownCalendar before anything is written.
    """
    return [_refresh(name, *span(now)) for name in standing.tables(names)]


def _refresh(name: str, since: date, until: date) -> Refreshed:
    wanted = {row.day: row for row in library.read(name, since, until)}
    with transaction.atomic():
        held = {row.day: row for row in StoredCalendar(name).sessions(since, date.max)}
        added = [row for day, row in wanted.items() if day not in held]
        changed = [row for day, row in wanted.items() if day in held and held[day] != row]
        removed = [day for day in held if day not in wanted]
        _write(name, [*added, *changed], removed)
        reach = StoredCalendar(name).reach
        done = Refreshed(
            calendar=name,
            first_day=reach.first_day,
            last_day=reach.last_day,
            sessions=len(wanted),
            added=len(added),
            changed=len(changed),
            removed=len(removed),
            whole=reach.last_day > until - MARGIN,
        )
        if added or changed or removed:
            _note(done, changed, removed)
    return done


def _write(name: str, rows: list[Session], removed: list[date]) -> None:
    # In order of days, so that two refreshes at once wait for each other instead of locking each other out.
    TradingSession.objects.bulk_create(
        [TradingSession(calendar=name, **asdict(row)) for row in sorted(rows, key=lambda row: row.day)],
        batch_size=1000,
        update_conflicts=True,
        unique_fields=["calendar", "day"],
        update_fields=[field for field in FIELDS if field != "day"],
    )
    TradingSession.objects.filter(calendar=name, day__in=removed).delete()


def _note(done: Refreshed, changed: list[Session], removed: list[date]) -> None:
    payload = {
        "sessions": done.sessions,
        "added": done.added,
        "changed": [str(row.day) for row in changed],
        "removed": [str(day) for day in removed],
        "until": str(done.last_day),
    }
    journal.record("calendar.refreshed", f"calendar:{done.calendar}", payload=payload)
