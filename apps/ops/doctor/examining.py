"""The whole examination: what needs a server that is away is left out, and that it is away is said."""

from collections.abc import Callable, Iterator
from datetime import datetime

from django.db import Error

from apps.ops.doctor import backups, jobs, machine, site, stores
from apps.ops.doctor.finding import Finding, Level, wrong


def examine(now: datetime) -> list[Finding]:
    """Look at everything and return what was found, good and bad, in the order in which to mend it."""
    found = [*machine.look(), *stores.database(now)]
    if _well(found, "database"):
        found += _asked("tables", site.migrations)
        if _well(found, "tables"):
            found += _asked("processes", lambda: site.processes(now))
            found += _asked("feeds", lambda: site.feeds(now))
            found += _asked("timetable", lambda: site.timetable(now))
            found += _asked("jobs", lambda: jobs.look(now))
            found += _asked("trading", site.trading)
            found += _asked("backups", lambda: backups.look(now))
    return [*found, *stores.market(), *stores.redis(), *stores.broker()]


def _well(found: list[Finding], area: str) -> bool:
    """Say whether questions about rows make sense: the database answers and has this code's tables."""
    names = {"database": {"reachable"}, "tables": {"site"}}[area]
    return not any(one.area == area and one.name in names and one.level is Level.WRONG for one in found)


def _asked(area: str, ask: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(ask())
    except Error as error:
        seen = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return [wrong(area, "database", f"the database did not answer: {seen}", "ask again; see its log")]
