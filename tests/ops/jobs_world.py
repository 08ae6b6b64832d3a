"""Jobs on the hand-written year 2026 of New York, and what ought to be due, reckoned without the product's rules."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from datetime import time as wall_time
from typing import Any
from zoneinfo import ZoneInfo

from apps.journal import leases
from apps.market.models import TradingSession
from apps.ops.jobs import ticking
from apps.ops.jobs.models import Job
from tests.domain import newyork

NEW_YORK = ZoneInfo("America/New_York")
SINCE = datetime(2026, 1, 3, tzinfo=UTC)
UNTIL = datetime(2027, 1, 1, tzinfo=UTC)
HUNG = timedelta(seconds=3)
# 2026: the clocks of New York go forward on March 8 at 02:00, and back on November 1 at 02:00.
SKIPPED, TWICE = date(2026, 3, 8), date(2026, 11, 1)
DAYS = [date(2026, 1, 2) + timedelta(days=count) for count in range(365)]
SUNDAYS = [day for day in DAYS if day.weekday() == 6]
TRADING = [day for day in DAYS if day.weekday() < 5 and day not in newyork.HOLIDAYS | {date(2027, 1, 1)}]


def store_sessions() -> None:
    """Write the year, and the first days of the next one so that the last rule of the year has an answer."""
    days = [date(2027, 1, day) for day in (4, 5, 6, 7, 8)]
    sessions = [*newyork.TABLE.rows, *(newyork.session(day) for day in days)]
    TradingSession.objects.bulk_create(TradingSession(calendar="XNYS", **asdict(row)) for row in sessions)


def make_job(name: str, rule: str, *, now: datetime = SINCE, **more: Any) -> Job:
    values = {"task": "ops.prune", "calendar": "XNYS", "missed": "all", "served_until": now, **more}
    return Job.objects.create(name=name, rule=rule, **values)


def lead() -> int:
    """Lead on this thread's connection, once the server has noticed that whoever led before is dead."""
    deadline = time.monotonic() + 60
    while True:
        epoch = leases.acquire(ticking.ROLE, hung_after=HUNG)
        if epoch is not None:
            return epoch
        assert time.monotonic() < deadline, "somebody else leads"
        time.sleep(0.005)


def _wall(hour: int, minute: int = 0) -> Callable[[date], datetime]:
    return lambda day: datetime.combine(day, wall_time(hour, minute), NEW_YORK).astimezone(UTC)


def _closes(day: date) -> datetime:
    return _wall(13 if day in newyork.EARLY else 16)(day)


def _at_half_past_two(day: date) -> datetime:
    return _wall(3)(day) if day == SKIPPED else _wall(2, 30)(day)


def _last_of_month(days: list[date]) -> Iterator[date]:
    for day, following in zip(days, [*days[1:], date(2027, 1, 4)], strict=True):
        if day.month != following.month:
            yield day


# Of each job: its rule, on which days it is due, and when on such a day.
Case = tuple[str, list[date], Callable[[date], datetime]]
CASES: dict[str, Case] = {
    "at the open": ("at open", TRADING, _wall(9, 30)),
    "before the close": ("at close - 15m", TRADING, lambda day: _closes(day) - timedelta(minutes=15)),
    "in the skipped hour": ("at 02:30 on Sun", SUNDAYS, _at_half_past_two),
    "in the hour that comes twice": ("at 01:30 on Sun", SUNDAYS, _wall(1, 30)),
    "on Friday": ("at 18:00 on last session of week", [], _wall(18)),
    "at the end of the month": ("at 18:00 on last session of month", list(_last_of_month(TRADING)), _wall(18)),
    "on the last day": (
        "at 18:00 on last day of month",
        [d for d in _last_of_month(DAYS) if d.year == 2026],
        _wall(18),
    ),
}
CASES["on Friday"] = (
    "at 18:00 on last session of week",
    [
        day
        for day, after in zip(TRADING, [*TRADING[1:], date(2027, 1, 4)], strict=True)
        if after.weekday() < day.weekday() or (after - day).days > 6
    ],
    _wall(18),
)


def expected(name: str) -> list[datetime]:
    """Return when a job is due within the simulated year."""
    _, days, at = CASES[name]
    return [slot for slot in map(at, days) if SINCE <= slot < UNTIL]
