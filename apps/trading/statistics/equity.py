"""What was an account worth, through time? The rows the risk monitor wrote; where there are none, rebuilt.

A missing point is cash by the ledger plus what the fills held, at the closes of the market store's candles. Where no
candle is known either, the price of the last fill stands in, and the point says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from apps.domain import equity
from apps.domain.equity import Step
from apps.market.store import Timeframe
from apps.market.store.timeframes import ceiling, floor
from apps.trading.models import Account
from apps.trading.statistics import rebuilding
from apps.trading.statistics.rebuilding import Bounds, Source, Worth
from apps.trading.statistics.selection import Selection

MOST = 400
_STEPS = (Timeframe.MINUTE, Timeframe.FIVE_MINUTES, Timeframe.QUARTER, Timeframe.HOUR, Timeframe.DAY)
_BEGUN = "SELECT min(l.at) FROM trading_ledgerentry l WHERE l.account_id = ANY(%(accounts)s)"
# One look into the index for each stretch, however many rows the monitor wrote in it.
_RECORDED = """
SELECT b.at, m.equity
FROM generate_series(%(since)s, %(until)s - INTERVAL '1 microsecond', %(width)s) AS b(at) CROSS JOIN LATERAL (
    SELECT r.equity FROM trading_riskmetric r
    WHERE r.account_id = %(account)s AND r.at >= b.at AND r.at < b.at + %(width)s ORDER BY r.at DESC LIMIT 1
) m
"""
_CASH = """
SELECT CASE WHEN l.at >= %(since)s THEN date_bin(%(width)s, l.at, TIMESTAMPTZ '1970-01-01 00:00+00') END, sum(l.cash),
    -sum(l.capital)
FROM trading_ledgerentry l
WHERE l.account_id = ANY(%(accounts)s) AND l.currency = %(currency)s AND l.at < %(until)s GROUP BY 1
"""
# What was too little to be sold and was taken out of the books is held no more; it has no price of its own.
_HELD = """
SELECT h.bucket, h.instrument_id, h.quantity, (SELECT f.price FROM trading_fill f WHERE f.id = h.last)
FROM (
    SELECT CASE WHEN m.at >= %(since)s THEN date_bin(%(width)s, m.at, TIMESTAMPTZ '1970-01-01 00:00+00') END AS bucket,
        m.instrument_id, max(m.id) AS last, sum(m.quantity) AS quantity
    FROM (
        SELECT f.at, f.instrument_id, f.id,
            CASE WHEN f.buy THEN coalesce(f.net, f.quantity) ELSE -coalesce(f.net, f.quantity) END AS quantity
        FROM trading_fill f WHERE f.account_id = ANY(%(accounts)s) AND f.at < %(until)s
        UNION ALL
        SELECT l.at, p.instrument_id, NULL, CASE p.side WHEN 'long' THEN -l.quantity ELSE l.quantity END
        FROM trading_ledgerentry l JOIN trading_position p ON p.id = l.position_id
        WHERE l.position_id IS NOT NULL AND l.account_id = ANY(%(accounts)s) AND l.at < %(until)s
    ) m GROUP BY 1, 2
) h JOIN market_instrument i ON i.id = h.instrument_id AND i.quote_currency = %(currency)s
"""


class Point(NamedTuple):
    """What an account was worth at the end of one stretch."""

    at: datetime  # the end of the stretch
    equity: Decimal
    deposits: Decimal  # paid in during the stretch, less what was paid out
    source: Source
    growth: Decimal  # what 1 had become since the beginning, deposits left out
    drawdown: Decimal  # how far that is below its highest, as a rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """An account through time, in its own currency."""

    account: int
    currency: str
    width: timedelta  # how far points lie apart
    points: list[Point]
    trouble: str = ""  # why candles are missing

    @property
    def max_drawdown(self) -> Decimal | None:
        """The deepest fall, as a rate; None without a point."""
        return max((point.drawdown for point in self.points), default=None)

    def count(self, source: Source) -> int:
        """Return how many points come from a source."""
        return sum(point.source is source for point in self.points)


def of(account: Account, *, now: datetime, since: datetime | None, until: datetime | None, most: int = MOST) -> Curve:
    """Return the equity of an account in about `most` points at most. Four statements, and one of the market store."""
    chosen = Selection(accounts=[account.pk])
    ((begun,),) = chosen.ask(_BEGUN)
    first, last = max(filter(None, (since, begun)), default=now), min(until or now, now)
    if begun is None or first >= last:
        return Curve(account=account.pk, currency=account.currency, width=_STEPS[0].width, points=[])
    bounds = _bounds(first, last, most, later=first > begun)
    values = {
        "account": account.pk,
        "currency": account.currency,
        "since": bounds.since,
        "until": bounds.until,
        "width": bounds.width,
    }
    cash = {at: (money, paid) for at, money, paid in chosen.ask(_CASH, **values)}
    worth = {at: Worth(value, Source.RECORDED) for at, value in chosen.ask(_RECORDED, **values)}
    missing, trouble = [at for at in bounds.buckets() if at not in worth], ""
    if missing:
        rebuilt, trouble = rebuilding.of(chosen.ask(_HELD, **values), cash, bounds)
        worth |= {at: rebuilt[at] for at in missing}
    paid = {at: deposits for at, (_, deposits) in cash.items()}
    return Curve(
        account=account.pk,
        currency=account.currency,
        width=bounds.width,
        points=_points(bounds, worth, paid, later=first > begun),
        trouble=trouble,
    )


def _bounds(since: datetime, until: datetime, most: int, *, later: bool) -> Bounds:
    """Return the stretches to draw; `later` than the account began, one more before them, to grow from."""
    width = next((step.width for step in _STEPS if (until - since) // step.width <= most), None)
    if width is None:
        day = Timeframe.DAY.width
        width = day * -(-(until - since) // (day * most))
    return Bounds(floor(since, width) - (width if later else timedelta(0)), ceiling(until, width), width)


def _points(
    bounds: Bounds, worth: Mapping[datetime, Worth], paid: Mapping[datetime, Decimal], *, later: bool
) -> list[Point]:
    buckets, nothing = bounds.buckets(), Decimal(0)
    steps = [Step(worth[at].equity, paid.get(at, nothing)) for at in buckets]
    if later:
        grown = [Decimal(1), *equity.index(steps[1:], steps[0].equity)]
    else:
        grown = equity.index(steps)
    return [
        Point(at + bounds.width, *step, worth[at].source, now, depth)
        for at, step, now, depth in zip(buckets, steps, grown, equity.depths(grown), strict=True)
    ]
