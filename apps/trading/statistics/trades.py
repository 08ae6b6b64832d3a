"""How did closed lots fare, all together and by instrument, strategy, period, side and reason of the exit?

A lot counts where and when its last unit was left, with everything it gained, after the fees of both sides.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from apps.domain import numbers
from apps.trading.statistics.selection import Period, Selection

MANUAL = ""  # the name of no strategy: opened by a person or a program


class Grouping(StrEnum):
    """What the lots of one row have in common."""

    ALL = "all"
    INSTRUMENT = "instrument"
    STRATEGY = "strategy"
    PERIOD = "period"
    SIDE = "side"
    REASON = "reason"


# What PostgreSQL's grouping() says of a row: a bit for each of the five columns that it does not keep apart.
_SETS = {
    0b11111: Grouping.ALL,
    0b01111: Grouping.INSTRUMENT,
    0b10111: Grouping.STRATEGY,
    0b11011: Grouping.PERIOD,
    0b11101: Grouping.SIDE,
    0b11110: Grouping.REASON,
}
_ORDER = list(Grouping)
# Lots are summed by numbers and days once; names, weeks and the other groupings are made of these few sums.
_TRADES = """
WITH summed AS MATERIALIZED (
    SELECT t.instrument_id, t.strategy_id, t.side, t.exit_reason, t.day, count(*) AS number,
        count(*) FILTER (WHERE t.net > 0) AS wins, count(*) FILTER (WHERE t.net < 0) AS losses,
        sum(t.gross) AS gross, sum(t.fees) AS fees, sum(t.net) AS net, sum(greatest(t.net, 0)) AS gains,
        sum(least(t.net, 0)) AS lost, max(t.net) AS best, min(t.net) AS worst, sum(t.held) AS held
    FROM (
        SELECT p.instrument_id, s.strategy_id, p.side, p.exit_reason, (p.closed_at AT TIME ZONE 'UTC')::date AS day,
            p.realised_pnl AS gross, p.fees, p.realised_pnl - p.fees AS net,
            date_part('epoch', p.closed_at - p.opened_at) AS held
        FROM trading_position p LEFT JOIN strategies_signal s ON s.id = p.signal_id
        WHERE p.status = 'closed' AND {where}
    ) t GROUP BY 1, 2, 3, 4, 5
), named AS (
    SELECT i.quote_currency AS currency, i.symbol AS instrument, coalesce(y.name, '') AS strategy,
        date_trunc(%(by)s, t.day::timestamp)::date AS period, t.side, t.exit_reason AS reason, t.number, t.wins,
        t.losses, t.gross, t.fees, t.net, t.gains, t.lost, t.best, t.worst, t.held
    FROM summed t JOIN market_instrument i ON i.id = t.instrument_id
    LEFT JOIN strategies_strategy y ON y.id = t.strategy_id
)
SELECT currency, grouping(instrument, strategy, period, side, reason), instrument, strategy, period, side,
    reason, sum(number)::bigint, sum(wins)::bigint, sum(losses)::bigint, sum(gross), sum(fees), sum(net), sum(gains),
    -sum(lost), max(best) FILTER (WHERE best > 0), min(worst) FILTER (WHERE worst < 0),
    round((sum(held) / sum(number))::numeric, 6)
FROM named
GROUP BY GROUPING SETS ((currency), (currency, instrument), (currency, strategy), (currency, period),
    (currency, side), (currency, reason))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trades:
    """What some closed lots of one quote currency have in common, and how they fared. Amounts are in that currency."""

    currency: str
    by: Grouping
    label: str | date  # what they have in common: a symbol, a name, the first day of a period, a word
    number: int
    wins: int  # gained after fees
    losses: int
    gross_pnl: Decimal  # before fees
    fees: Decimal
    total_pnl: Decimal  # after fees
    gains: Decimal  # what the wins gained
    lost: Decimal  # what the losses lost, positive
    largest_win: Decimal | None
    largest_loss: Decimal | None
    average_holding_seconds: Decimal

    @property
    def average_holding_hours(self) -> Decimal:
        """How long a lot was held on average, for reading."""
        return self.average_holding_seconds / 3600

    @property
    def win_rate(self) -> Decimal:
        """Wins of all, as a rate."""
        return Decimal(self.wins) / self.number

    @property
    def average_pnl(self) -> Decimal:
        """What a lot gained on average before fees."""
        return numbers.money(self.gross_pnl / self.number)

    @property
    def expectancy(self) -> Decimal:
        """What a lot gained on average after fees."""
        return numbers.money(self.total_pnl / self.number)

    @property
    def average_win(self) -> Decimal | None:
        """What a win gained on average."""
        return numbers.money(self.gains / self.wins) if self.wins else None

    @property
    def average_loss(self) -> Decimal | None:
        """What a loss lost on average, negative."""
        return numbers.money(-self.lost / self.losses) if self.losses else None

    @property
    def profit_factor(self) -> Decimal | None:
        """Gains over losses; None without a loss."""
        return numbers.money(self.gains / self.lost) if self.lost else None


def of(selection: Selection, *, by: Period = Period.DAY) -> list[Trades]:
    """Return the closed lots of a selection in every grouping, `by` being how long a period is. One statement."""
    statement = _TRADES.format(where=selection.where(at="p.closed_at"))
    found = [_trades(*row) for row in selection.ask(statement, by=str(by))]
    return sorted(found, key=lambda one: (one.currency, _ORDER.index(one.by), str(one.label)))


def _trades(currency: str, sets: int, *row: object) -> Trades:
    by = _SETS[sets]
    columns = dict(zip((Grouping.INSTRUMENT, Grouping.STRATEGY, Grouping.PERIOD, Grouping.SIDE, Grouping.REASON), row))  # noqa: B905 - the figures follow
    return _figures(currency, by, columns.get(by, ""), *row[5:])  # type: ignore[arg-type]  # as the statement selects


def _figures(
    currency: str,
    by: Grouping,
    label: str | date,
    number: int,
    wins: int,
    losses: int,
    gross: Decimal,
    fees: Decimal,
    net: Decimal,
    gains: Decimal,
    lost: Decimal,
    best: Decimal | None,
    worst: Decimal | None,
    held: Decimal,
) -> Trades:
    return Trades(
        currency=currency,
        by=by,
        label=label,
        number=number,
        wins=wins,
        losses=losses,
        gross_pnl=gross,
        fees=fees,
        total_pnl=net,
        gains=gains,
        lost=lost,
        largest_win=best,
        largest_loss=worst,
        average_holding_seconds=held,
    )
