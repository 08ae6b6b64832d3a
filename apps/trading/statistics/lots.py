"""What is open, and what would leaving it at the last prices gain?"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.domain import numbers
from apps.domain.sides import Side
from apps.trading.statistics.selection import Selection

MOST = 500
_TABLES = """
FROM trading_position p JOIN market_instrument i ON i.id = p.instrument_id
LEFT JOIN market_quote q ON q.instrument_id = p.instrument_id
LEFT JOIN strategies_signal s ON s.id = p.signal_id LEFT JOIN strategies_strategy y ON y.id = s.strategy_id
WHERE p.status <> 'closed' AND {where}
"""
_OPEN = f"""
SELECT p.id, p.account_id, i.symbol, i.quote_currency, coalesce(y.name, ''), p.side, p.remaining, p.entry_price,
    p.cost, p.fees, p.opened_at, q.price, greatest(q.received_at, q.heard_at)
{_TABLES} ORDER BY p.id DESC LIMIT %(most)s
"""
_SUMS = f"""
SELECT i.quote_currency, count(*), count(*) FILTER (WHERE q.price IS NULL), sum(p.cost),
    sum(round(CASE p.side WHEN %(long)s THEN q.price * p.remaining - p.cost ELSE p.cost - q.price * p.remaining END,
        8)),
    min(greatest(q.received_at, q.heard_at))
{_TABLES} GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLot:
    """A lot with what is still held of it; amounts in quote currency."""

    position: int
    account: int
    instrument: str
    currency: str
    strategy: str
    side: str
    quantity: Decimal
    entry_price: Decimal
    cost: Decimal
    fees: Decimal  # paid so far
    opened_at: datetime
    price: Decimal | None
    quoted_at: datetime | None  # when the feed last spoke of it

    @property
    def unrealised_pnl(self) -> Decimal | None:
        """What leaving it at the last price would gain before fees; None without a price."""
        if self.price is None:
            return None
        return (numbers.money(self.price * self.quantity) - self.cost) * Side(self.side).sign

    def quote_age(self, now: datetime) -> timedelta | None:
        """Return how old its price is."""
        return None if self.quoted_at is None else now - self.quoted_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """All open lots of one quote currency; those without a price are counted and not in the sum of what is open."""

    currency: str
    lots: int
    unpriced: int
    cost: Decimal
    unrealised_pnl: Decimal
    oldest_quote: datetime | None


def newest(selection: Selection, *, most: int = MOST) -> list[OpenLot]:
    """Return open lots, newest first, `most` at most. The days of the selection do not count. One statement."""
    return [OpenLot(**dict(zip(_COLUMNS, row, strict=True))) for row in _ask(selection, _OPEN, most=most)]


def sums(selection: Selection) -> list[Open]:
    """Return the sums over all open lots by quote currency. One statement."""
    return [
        Open(
            currency=currency,
            lots=count,
            unpriced=unpriced,
            cost=cost,
            unrealised_pnl=unrealised or Decimal(0),
            oldest_quote=oldest,
        )
        for currency, count, unpriced, cost, unrealised, oldest in _ask(selection, _SUMS, long=str(Side.LONG))
    ]


_COLUMNS = (
    "position",
    "account",
    "instrument",
    "currency",
    "strategy",
    "side",
    "quantity",
    "entry_price",
    "cost",
    "fees",
    "opened_at",
    "price",
    "quoted_at",
)


def _ask(selection: Selection, statement: str, **more: Any) -> list[tuple[Any, ...]]:
    timeless = Selection(accounts=selection.accounts, instrument=selection.instrument, strategy=selection.strategy)
    return timeless.ask(statement.format(where=timeless.where(at="")), **more)
