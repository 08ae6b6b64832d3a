"""The measures of accounts: one row per account and minute, written again at each look of that minute."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

from apps.trading.models import RiskMetric

KEPT_IN_FULL: Final = timedelta(days=30)  # every minute; of what is older the last measure of each hour stays
_COLUMNS: Final = {
    "account_id": "bigint",
    "equity": "numeric",
    "cash": "numeric",
    "gross": "numeric",
    "net": "numeric",
    "peak": "numeric",
    "day_start": "numeric",
    "lowest": "numeric",
    "capital": "numeric",
    "open_positions": "int",
}
# What was paid in within the minute is no gain: the peak and the lowest of before are moved by it.
_STORE = f"""
INSERT INTO trading_riskmetric AS m ({", ".join(_COLUMNS)}, at, measured_at)
SELECT s.*, %(minute)s, %(now)s
FROM unnest({", ".join(f"%({name})s::{type_}[]" for name, type_ in _COLUMNS.items())}) AS s ({", ".join(_COLUMNS)})
ORDER BY s.account_id
ON CONFLICT (account_id, at) DO UPDATE SET
    equity = EXCLUDED.equity, cash = EXCLUDED.cash, gross = EXCLUDED.gross, net = EXCLUDED.net,
    day_start = EXCLUDED.day_start, open_positions = EXCLUDED.open_positions, capital = EXCLUDED.capital,
    measured_at = greatest(m.measured_at, EXCLUDED.measured_at),
    peak = greatest(m.peak + EXCLUDED.capital - m.capital, EXCLUDED.peak),
    lowest = least(m.lowest + EXCLUDED.capital - m.capital, EXCLUDED.lowest)
"""  # noqa: S608 - the words put in are constants
_LAST = """
SELECT max(m.measured_at) FROM trading_account a
CROSS JOIN LATERAL (
    SELECT measured_at FROM trading_riskmetric WHERE account_id = a.id ORDER BY at DESC LIMIT 1
) m
"""
_THIN = """
DELETE FROM trading_riskmetric m WHERE m.at < %s AND EXISTS (
    SELECT FROM trading_riskmetric n WHERE n.account_id = m.account_id AND n.at > m.at
        AND n.at < date_trunc('hour', m.at, 'UTC') + interval '1 hour')
"""


def store(measured: Sequence[RiskMetric], now: datetime) -> None:
    """Write what was measured now as the rows of this minute; the peak and the lowest of the minute are kept."""
    if not measured:
        return
    values: dict[str, Any] = {name: [getattr(row, name) for row in measured] for name in _COLUMNS}
    minute = now.replace(second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute(_STORE, {**values, "minute": minute, "now": now})


def last_at() -> datetime | None:
    """Return when an account was last measured; None before the first time."""
    with connection.cursor() as cursor:
        cursor.execute(_LAST)
        (last,) = cursor.fetchone()
    return last  # type: ignore[no-any-return] # a time, or nothing


def thin(now: datetime) -> int:
    """Delete old measures but the last of each hour; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_THIN, [now - KEPT_IN_FULL])
        return int(cursor.rowcount)
