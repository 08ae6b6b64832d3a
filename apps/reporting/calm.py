"""When a person may be disturbed: quiet hours and the hour of the digest, in their own time zone."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """A person's habits; without `quiet_from` nothing is ever held back."""

    zone: ZoneInfo
    quiet_from: time | None = None
    quiet_until: time | None = None
    digest_at: time = time(7)

    def quiet_until_after(self, at: datetime) -> datetime | None:
        """Return when the quiet hours that `at` lies in end (UTC); None when it lies in none."""
        begins, ends = self.quiet_from, self.quiet_until
        if begins is None or ends is None or begins == ends:
            return None
        local = at.astimezone(self.zone)
        clock = local.time().replace(tzinfo=None)
        within = begins <= clock < ends if begins < ends else clock >= begins or clock < ends
        return _next(local, ends, self.zone) if within else None

    def digest_after(self, at: datetime) -> datetime:
        """Return when the next digest after `at` is due (UTC)."""
        return _next(at.astimezone(self.zone), self.digest_at, self.zone)


def _next(local: datetime, clock: time, zone: ZoneInfo) -> datetime:
    """Return the next instant at which clocks there show `clock`; in the hour that spring skips, right after it."""
    for days in range(3):
        day = local.date() + timedelta(days=days)
        found = datetime.combine(day, clock, zone).astimezone(UTC)
        if found > local.astimezone(UTC):
            return found
    raise AssertionError("three days hold every time of day")
