"""One thing the doctor looked at, and what it found."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Level(StrEnum):
    """How a finding is meant."""

    OK = "ok"  # as it should be
    NOTE = "note"  # worth knowing; nothing has to be done now
    WRONG = "wrong"  # something has to be done


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was looked at, what was seen, and what to do when it is not as it should be."""

    area: str
    name: str
    level: Level
    seen: str
    do: str = ""


def good(area: str, name: str, seen: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(area=area, name=name, level=Level.OK, seen=seen)


def note(area: str, name: str, seen: str, do: str = "") -> Finding:
    """Say that something is worth knowing."""
    return Finding(area=area, name=name, level=Level.NOTE, seen=seen, do=do)


def wrong(area: str, name: str, seen: str, do: str) -> Finding:
    """Say that something is wrong, and what to do."""
    return Finding(area=area, name=name, level=Level.WRONG, seen=seen, do=do)


def aged(span: timedelta) -> str:
    """Write a length of time for people: 42 s, 5 min, 3 h, 12 days."""
    seconds = max(span.total_seconds(), 0)
    for limit, length, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
