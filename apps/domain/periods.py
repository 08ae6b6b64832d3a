"""Which week, month, quarter or year does a day lie in? Weeks begin on Monday."""

from datetime import date, timedelta
from enum import StrEnum


class Period(StrEnum):
    """A stretch of the calendar."""

    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class Which(StrEnum):
    """An end of a period."""

    FIRST = "first"
    LAST = "last"


_MONTHS = {Period.MONTH: 1, Period.QUARTER: 3, Period.YEAR: 12}


def around(day: date, period: Period) -> tuple[date, date]:
    """Return the first day of the period that a day lies in, and the first day after it."""
    if period is Period.WEEK:
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    months = _MONTHS[period]
    first = date(day.year, (day.month - 1) // months * months + 1, 1)
    return first, _after(first, months)


def _after(first: date, months: int) -> date:
    count = first.month - 1 + months
    return date(first.year + count // 12, count % 12 + 1, 1)
