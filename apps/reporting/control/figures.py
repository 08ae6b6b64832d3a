"""Commands about what trading brought: over all, by day, week and month, by instrument, and trade by trade."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Final

from apps.domain.states import PositionStatus
from apps.reporting.control.contract import Answer, Asked, Command, number
from apps.trading import selectors
from apps.trading.statistics import trades as statistics
from apps.trading.statistics.selection import Period, Selection
from apps.trading.statistics.trades import Grouping, Trades

_MOST: Final = 20
_DAYS: Final = {Period.DAY: 1, Period.WEEK: 7, Period.MONTH: 31}


def profit(asked: Asked) -> Answer:
    """Say what all closed positions brought, per quote currency."""
    rows = [row for row in statistics.of(_selection(asked)) if row.by is Grouping.ALL]
    lines = [
        f"{row.total_pnl:+,.2f} {row.currency} after {row.fees:,.2f} fees: {row.number} closed, {row.wins} won, "
        f"{row.losses} lost, {row.win_rate:.0%} won; {row.expectancy:+,.2f} on average"
        for row in rows
    ]
    return Answer(text="\n".join(lines) or _NOTHING, buttons=((("Daily", "daily"), ("Performance", "performance")),))


def performance(asked: Asked) -> Answer:
    """Say what each instrument brought, the best first."""
    rows = [row for row in statistics.of(_selection(asked)) if row.by is Grouping.INSTRUMENT]
    ordered = sorted(rows, key=lambda row: -row.total_pnl)[:_MOST]
    return Answer(text="\n".join(_line(row) for row in ordered) or _NOTHING)


def trades(asked: Asked) -> Answer:
    """List the last closed positions."""
    closed = selectors.positions(asked.person).filter(status=PositionStatus.CLOSED)
    rows = closed.order_by("-closed_at")[: number(asked.words, usual=10, most=_MOST)]
    lines = [
        f"#{row.pk} {row.side} {row.instrument.symbol} {row.realised_pnl - row.fees:+,.2f} {row.exit_reason} "
        f"{row.closed_at:%m-%d %H:%M}"
        for row in rows
    ]
    return Answer(text="\n".join(lines) or _NOTHING)


def _by(period: Period, usual: int) -> Callable[[Asked], Answer]:
    def run(asked: Asked) -> Answer:
        count = number(asked.words, usual=usual, most=_MOST)
        since = asked.now - timedelta(days=_DAYS[period] * count)
        rows = [row for row in statistics.of(_selection(asked, since=since), by=period) if row.by is Grouping.PERIOD]
        ordered = sorted(rows, key=lambda row: str(row.label), reverse=True)[:count]
        return Answer(text="\n".join(_line(row) for row in ordered) or _NOTHING)

    return run


def _selection(asked: Asked, **more: object) -> Selection:
    accounts = list(selectors.for_user(asked.person).values_list("pk", flat=True))
    return Selection(accounts=accounts, **more)  # type: ignore[arg-type]  # bounds of time by name


def _line(row: Trades) -> str:
    zero = Decimal(0)
    return f"{row.label}: {row.total_pnl or zero:+,.2f} {row.currency}, {row.number} closed, {row.win_rate:.0%} won"


_NOTHING: Final = "Nothing was closed in that time."


def commands() -> Iterable[Command]:
    """Return the commands of this page."""
    return (
        Command(name="profit", help="what closed positions brought in all", run=profit),
        Command(name="daily", help="[n] what the last days brought", run=_by(Period.DAY, 7)),
        Command(name="weekly", help="[n] what the last weeks brought", run=_by(Period.WEEK, 8)),
        Command(name="monthly", help="[n] what the last months brought", run=_by(Period.MONTH, 6)),
        Command(name="performance", help="what each instrument brought", run=performance),
        Command(name="trades", help="[n] the last closed positions", run=trades),
    )
