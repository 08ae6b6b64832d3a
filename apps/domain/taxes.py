"""What does a tax office want to know of a sale? When it was bought and sold by the local calendar, and for how long.

The rule on holding: a long position held for more calendar days than `long_after` is long-term; a short sale never is.
It is a rule of days as many countries have one, stated with the export, and no advice.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from apps.domain import numbers, wall_clock
from apps.domain.accounting import Disposal

LONG_AFTER: Final = 365
HEADER: Final = (
    "instrument",
    "currency",
    "side",
    "acquired_utc",
    "disposed_utc",
    "acquired_local",
    "disposed_local",
    "time_zone",
    "quantity",
    "proceeds",
    "cost",
    "fees",
    "gain",
    "holding_days",
    "term",
    "method",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Whose days and years count, and how many days make a holding long-term."""

    zone: ZoneInfo
    long_after: int = LONG_AFTER

    def year(self, year: int) -> tuple[datetime, datetime]:
        """Return the first instant of a year and that of the next."""
        first, following = date(year, 1, 1), date(year + 1, 1, 1)
        return wall_clock.instant_of(first, time(), self.zone), wall_clock.instant_of(following, time(), self.zone)

    def days_held(self, disposal: Disposal) -> int:
        """Return the calendar days between purchase and sale."""
        days: timedelta = self._day(disposal.sold_at) - self._day(disposal.bought_at)
        return abs(days.days)

    def is_long_term(self, disposal: Disposal) -> bool:
        """Say whether it counts as held for long."""
        return not disposal.short and self.days_held(disposal) > self.long_after

    def _day(self, at: datetime) -> date:
        return at.astimezone(self.zone).date()


def row(symbol: str, currency: str, method: str, disposal: Disposal, calendar: Calendar) -> tuple[str, ...]:
    """Return the cells of one disposal, in the order of HEADER; instants in ISO 8601, amounts in plain digits."""
    amounts = (disposal.quantity, disposal.proceeds, disposal.cost, disposal.fees, disposal.gain)
    return (
        symbol,
        currency,
        "short" if disposal.short else "long",
        _utc(disposal.bought_at),
        _utc(disposal.sold_at),
        _local(disposal.bought_at, calendar.zone),
        _local(disposal.sold_at, calendar.zone),
        calendar.zone.key,
        *(_plain(amount) for amount in amounts),
        str(calendar.days_held(disposal)),
        "long-term" if calendar.is_long_term(disposal) else "short-term",
        method,
    )


def _plain(amount: Decimal) -> str:
    return numbers.plain(amount)


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _local(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(timespec="seconds")
