"""What do the books say of a stretch of time: profit taken, fees and deposits by period, and fees by asset?

Profit is counted when it is taken, that of lots which are still open in part included, so the sums are those of the
ledger to the last digit. Deposits stand apart: they are no profit.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from apps.trading.statistics.selection import Period, Selection

# With an instrument or a strategy only lines of lots count: a deposit belongs to neither.
_OF_A_LOT = """
LEFT JOIN trading_fill f ON f.id = l.fill_id JOIN trading_position p ON p.id = coalesce(f.position_id, l.position_id)
"""
_BOOKS = """
SELECT l.currency, date_trunc(%(by)s, l.at AT TIME ZONE 'UTC')::date, -sum(l.pnl), sum(l.fees), -sum(l.capital)
FROM trading_ledgerentry l {joins} WHERE {where} GROUP BY 1, 2 ORDER BY 1, 2
"""
_FEES = """
SELECT date_trunc(%(by)s, f.at AT TIME ZONE 'UTC')::date, i.quote_currency,
    CASE WHEN f.fee_asset = '' THEN i.quote_currency ELSE f.fee_asset END,
    sum(CASE WHEN f.fee_asset = '' THEN f.fee ELSE coalesce(f.fee_paid, 0) END), sum(f.fee), count(*)
FROM trading_fill f JOIN market_instrument i ON i.id = f.instrument_id {joins} WHERE {where}
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One currency's lines of the ledger in one period, seen by the owner."""

    currency: str
    period: date  # its first day
    realised_pnl: Decimal  # before fees
    fees: Decimal
    deposits: Decimal

    @property
    def net_pnl(self) -> Decimal:
        """Profit taken less the fees paid, deposits not counted."""
        return self.realised_pnl - self.fees


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """What the fills of one period cost, by the asset the fees were paid in."""

    period: date
    currency: str  # the quote currency of the fills
    asset: str
    paid: Decimal  # in the asset
    value: Decimal  # in the quote currency, at the fills' prices
    fills: int


def by_period(selection: Selection, *, by: Period = Period.DAY) -> list[Taken]:
    """Return what the ledger says per currency and period. One statement."""
    narrowed = selection.instrument is not None or selection.strategy is not None
    joins = _OF_A_LOT + selection.signal("p") if narrowed else ""
    where = selection.where(at="l.at", rows="p" if narrowed else "l")
    rows = selection.ask(_BOOKS.format(joins=joins, where=where), by=str(by))
    return [
        Taken(currency=currency, period=period, realised_pnl=pnl, fees=fees, deposits=deposits)
        for currency, period, pnl, fees, deposits in rows
    ]


def fees(selection: Selection, *, by: Period = Period.DAY) -> list[Fees]:
    """Return what trading cost per period and asset. One statement."""
    joins = ""
    if selection.strategy is not None:
        joins = f"JOIN trading_position p ON p.id = f.position_id {selection.signal('p')}"
    rows = selection.ask(_FEES.format(joins=joins, where=selection.where(at="f.at", rows="f")), by=str(by))
    return [
        Fees(period=period, currency=currency, asset=asset, paid=paid, value=value, fills=fills)
        for period, currency, asset, paid, value, fills in rows
    ]
