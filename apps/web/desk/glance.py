"""What the first page counts, in one statement; and what the accounts are worth, in four."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from django.db import connection

from apps.trading import selectors
from apps.trading.models import Account
from apps.trading.selectors import Balance
from apps.web.desk.drawing import Line

NEWEST: Final = 5_000  # exits the percentiles are taken of, at most
STEP: Final = timedelta(minutes=5)
SPAN: Final = timedelta(hours=24)
# A time stop waits for the sweeper's next look by design, so it is left out of the percentiles.
_COUNTS: Final = """
WITH done AS MATERIALIZED (
    SELECT extract(epoch FROM coalesce(d.committed_at, e.closed_at) - e.tick_at) * 1000 AS ms
    FROM trading_exit e LEFT JOIN trading_drain d ON d.id = e.drain_id
    WHERE e.status = 'done' AND e.closed_at >= %(hour)s AND e.reason <> 'time_stop'
    ORDER BY e.closed_at DESC LIMIT %(newest)s
), waiting AS MATERIALIZED (  -- a branch for each status, since an index holds those of one
    SELECT recorded_at FROM trading_exit WHERE status = 'triggered'
    UNION ALL SELECT recorded_at FROM trading_exit WHERE status = 'claimed'
), worth AS (
    SELECT i.quote_currency AS currency, count(*) AS lots, bool_and(q.price IS NOT NULL) AS known,
        sum(p.remaining * coalesce(q.price, p.entry_price)) AS gross,
        sum(CASE p.side WHEN 'long' THEN 1 ELSE -1 END * p.remaining * coalesce(q.price, p.entry_price)) AS net
    FROM trading_position p JOIN market_instrument i ON i.id = p.instrument_id
    LEFT JOIN market_quote q ON q.instrument_id = p.instrument_id
    WHERE p.account_id = ANY(%(accounts)s) AND p.status IN ('opening', 'open', 'closing') GROUP BY 1
)
SELECT
    (SELECT count(*) FROM trading_position p WHERE p.account_id = ANY(%(accounts)s) AND p.closed_at >= %(day)s),
    (SELECT count(*) FROM trading_discrepancy d WHERE d.account_id = ANY(%(accounts)s) AND d.resolution = 'open'),
    (SELECT count(*) FROM trading_violation v WHERE v.account_id = ANY(%(accounts)s) AND v.ended_at IS NULL),
    (SELECT count(*) FROM waiting),
    (SELECT min(recorded_at) FROM waiting),
    (SELECT count(*) FROM done),
    (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY ms) FROM done),
    (SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY ms) FROM done),
    (SELECT json_agg(json_build_array(currency, lots, known, gross::text, net::text)) FROM worth)
"""
_HISTORY: Final = """
SELECT DISTINCT ON (m.account_id, b) m.account_id, date_bin(%(step)s, m.at, TIMESTAMPTZ '1970-01-01 00:00+00') AS b,
    m.at, m.equity, m.day_start, m.capital
FROM trading_riskmetric m WHERE m.account_id = ANY(%(accounts)s) AND m.at >= %(since)s
ORDER BY m.account_id, b, m.at DESC
"""


class Exposure(NamedTuple):
    """What all open positions of one currency are worth at their last prices."""

    lots: int
    known: bool  # False when a price is missing and the entry price stands in
    gross: Decimal  # longs and shorts added
    net: Decimal  # longs less shorts


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What is counted: the person's own positions and troubles, and the exits of the whole site."""

    closed_today: int
    discrepancies: int
    violations: int
    waiting: int
    oldest: datetime | None
    exits: int  # of the last hour
    p50: Decimal | None  # milliseconds from tick to close
    p99: Decimal | None
    exposure: Mapping[str, Exposure]  # by currency

    @property
    def open(self) -> int:
        """How many positions are open."""
        return sum(each.lots for each in self.exposure.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What the accounts of one currency are worth together."""

    currency: str
    equity: Decimal
    today: Decimal  # since 00:00 UTC, deposits and withdrawals left out
    since_deposits: Decimal
    exact: bool  # False when a price is missing
    exposure: Exposure

    @property
    def exposed(self) -> Decimal | None:
        """The gross exposure as a rate of the equity."""
        return self.exposure.gross / self.equity if self.equity > 0 else None


def counts(accounts: Sequence[int], now: datetime) -> Counts:
    """Count, in one statement."""
    values: dict[str, Any] = {
        "accounts": list(accounts),
        "hour": now - timedelta(hours=1),
        "day": _midnight(now),
        "newest": NEWEST,
    }
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, values)
        ((*plain, worth),) = cursor.fetchall()
    names = ("closed_today", "discrepancies", "violations", "waiting", "oldest", "exits", "p50", "p99")
    rows = json.loads(worth) if isinstance(worth, str) else worth or []
    exposure = {key: Exposure(lots, known, Decimal(gross), Decimal(net)) for key, lots, known, gross, net in rows}
    return Counts(**dict(zip(names, plain, strict=True)), exposure=exposure)


class Measured(NamedTuple):
    """What the risk monitor wrote of an account at one instant."""

    account: int
    step: datetime
    at: datetime
    equity: Decimal
    day_start: Decimal
    capital: Decimal | None


def history(accounts: Sequence[int], now: datetime) -> list[Measured]:
    """Return the last measure of every five minutes of the last day, of each account in turn."""
    with connection.cursor() as cursor:
        values: dict[str, Any] = {"step": STEP, "accounts": list(accounts), "since": now - SPAN}
        cursor.execute(_HISTORY, values)
        return [Measured(*row) for row in cursor.fetchall()]


def worths(
    accounts: Sequence[Account], measured: Sequence[Measured], exposure: Mapping[str, Exposure], now: datetime
) -> list[Worth]:
    """Return what the accounts are worth, a sum for each currency."""
    last = {row.account: row for row in measured}
    nothing = Exposure(0, True, Decimal(0), Decimal(0))
    sums: dict[str, Worth] = {}
    for account, sheets in selectors.balances([account.pk for account in accounts]).items():
        for sheet in sheets:
            equity = sheet.cash + sheet.holdings if sheet.equity is None else sheet.equity
            before = sums.get(sheet.currency)
            sums[sheet.currency] = Worth(
                currency=sheet.currency,
                equity=equity + (before.equity if before else 0),
                today=_today(sheet, equity, last.get(account), now) + (before.today if before else 0),
                since_deposits=equity - sheet.deposits + (before.since_deposits if before else 0),
                exact=sheet.equity is not None and (before is None or before.exact),
                exposure=exposure.get(sheet.currency, nothing),
            )
    return list(sums.values())


def curve(measured: Sequence[Measured], accounts: Sequence[Account], currency: str) -> Line | None:
    """Return the equity of the accounts in a currency through the last day; None before the second measure."""
    chosen = {account.pk for account in accounts if account.currency == currency}
    per_account: dict[int, dict[datetime, Decimal]] = {}
    for row in measured:
        if row.account in chosen:
            per_account.setdefault(row.account, {})[row.step] = row.equity
    steps = sorted({step for points in per_account.values() for step in points})
    values: list[float] = []
    last: dict[int, Decimal] = {key: next(iter(points.values())) for key, points in per_account.items()}
    for step in steps:
        last |= {key: points[step] for key, points in per_account.items() if step in points}
        values.append(float(sum(last.values(), Decimal(0))))
    return Line.of(values) if len(values) > 1 else None


def _today(sheet: Balance, equity: Decimal, last: Measured | None, now: datetime) -> Decimal:
    """Return the gain of the day; before the first measure what was paid in counts as its start."""
    if last is None:
        return equity - sheet.deposits
    paid = Decimal(0) if last.capital is None else sheet.deposits - last.capital
    return equity - (last.day_start if last.at >= _midnight(now) else last.equity) - paid


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
