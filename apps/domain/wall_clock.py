"""When is a wall time? Each day has every wall time exactly once, even when its clocks are put forward or back.

Forward: a time that is skipped (02:30 in New York in March) is the instant of the jump. Back: a time that comes twice
(01:30 in November) is its first coming.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)


def instant_of(day: date, wall: time, zone: ZoneInfo) -> datetime:
    """Return the instant, in UTC, at which the clocks of `zone` show a wall time on a day."""
    shown = datetime.combine(day, wall)
    instant = shown.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None, fold=0) == shown:
        return instant
    # Skipped: read with the offset before the jump it lies after it, with the one after the jump before it.
    return _jump(shown.replace(tzinfo=zone, fold=1).astimezone(UTC), instant, zone)


def _jump(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    old = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after
