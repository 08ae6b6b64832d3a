"""The disposals of an account in a tax year as lines of CSV, one at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

from apps.domain import sheets, taxes
from apps.domain.accounting import Method
from apps.domain.taxes import Calendar
from apps.trading.statistics import matching
from apps.trading.statistics.selection import Selection

FIRST_YEAR, LAST_YEAR = 1970, 2200


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Which account's disposals of which year, by which method and calendar."""

    account: int
    year: int
    method: Method
    calendar: Calendar

    @property
    def file_name(self) -> str:
        """Name the file."""
        return f"disposals-account-{self.account}-{self.year}-{self.method}.csv"


def lines(wanted: Export) -> Iterator[str]:
    """Yield the header, then a line per disposal, by instrument in order of time. One statement; memory stays small."""
    since, until = wanted.calendar.year(wanted.year)
    selection = Selection(accounts=[wanted.account], since=since, until=until)
    yield sheets.line(taxes.HEADER)
    for one in matching.disposals(selection, wanted.method):
        yield sheets.line(taxes.row(one.symbol, one.currency, wanted.method, one.disposal, wanted.calendar))
