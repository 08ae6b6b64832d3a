"""What the code wants done by a calendar, before it is a row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from apps.ops.jobs.models import Missed


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One thing to do at each instant that a calendar rule names. A slot is run once; its task must bear a second run.

    The task is given `kwargs`, and the instant it is run for as `slot`, in ISO 8601 and UTC. What it returns (text, or
    anything JSON can hold) is kept as the result; what it raises, as the error. `Unavailable` is tried again.
    """

    name: str
    task: str
    rule: str  # see docs/calendars.md
    description: str
    calendar: str = "24/7"
    zone: str = ""  # of a time of day that names none; empty: the calendar's own
    missed: Missed = Missed.LATEST
    grace: timedelta = timedelta(minutes=5)
    attempts: int = 3
    enabled: bool = True
    at_once: timedelta | None = None  # also run once so long after the row is made, on a new site
    kwargs: Mapping[str, Any] = field(default_factory=dict)
