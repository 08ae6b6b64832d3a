"""Everything about a selection at once, for page, API and command: one shape, a fixed number of statements."""

from dataclasses import dataclass
from datetime import datetime

from apps.domain.accounting import Method
from apps.trading.statistics import books, latency, lots, matching, trades
from apps.trading.statistics.books import Fees, Taken
from apps.trading.statistics.latency import Latency
from apps.trading.statistics.lots import Open, OpenLot
from apps.trading.statistics.matching import Result
from apps.trading.statistics.selection import Period, Selection
from apps.trading.statistics.trades import Grouping, Trades

# As many fills are matched in about a second; who waits for a page waits no longer. The commands match any number.
MOST_FILLS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What trading brought. `matched` is None where there are too many fills to match while somebody waits."""

    at: datetime
    by: Period
    trades: list[Trades]
    books: list[Taken]
    fees: list[Fees]
    latency: list[Latency]
    open: list[Open]
    lots: list[OpenLot]
    fills: int
    matched: list[Result] | None

    def grouped(self, by: Grouping) -> list[Trades]:
        """Return the rows of one grouping."""
        return [row for row in self.trades if row.by is by]


def of(selection: Selection, *, by: Period, now: datetime, most_fills: int | None) -> Summary:
    """Return the figures of a selection; nine statements at most, however many rows there are."""
    count = matching.fills(selection)
    matched = None
    if most_fills is None or count <= most_fills:
        matched = matching.realised(selection, *Method)
    return Summary(
        at=now,
        by=by,
        trades=trades.of(selection, by=by),
        books=books.by_period(selection, by=by),
        fees=books.fees(selection, by=by),
        latency=latency.of(selection),
        open=lots.sums(selection),
        lots=lots.newest(selection),
        fills=count,
        matched=matched,
    )
