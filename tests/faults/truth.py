"""What should have happened, from the exchange's own list of trades and written without the product's rules."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection

MARGIN = 0.03  # seconds after its making in which a level may or may not have seen a trade
_LEGS = """
SELECT p.id, i.symbol, extract(epoch FROM l.since)::float8, l.rises, l.level::float8,
    extract(epoch FROM coalesce(d.committed_at, e.closed_at, p.closed_at))::float8
FROM trading_exitleg l JOIN trading_position p ON p.id = l.position_id
JOIN market_instrument i ON i.id = l.instrument_id
LEFT JOIN trading_exit e ON e.id = p.last_exit_id LEFT JOIN trading_drain d ON d.id = e.drain_id
WHERE l.kind IN ('stop_loss', 'take_profit') AND l.status <> 'cancelled' OR (l.status = 'cancelled'
    AND p.status = 'closed') AND l.kind IN ('stop_loss', 'take_profit')
"""
_DONE = """
SELECT i.symbol, e.trade_id, e.trigger_price::float8, e.id FROM trading_exit e
JOIN trading_position p ON p.id = e.position_id JOIN market_instrument i ON i.id = p.instrument_id
WHERE e.trigger_price IS NOT NULL AND extract(epoch FROM e.tick_at) BETWEEN %s AND %s
"""
_STORY = """
SELECT 'leg', l.id, l.kind, l.status, l.rises, l.level, l.since, p.side, p.status, p.exit_reason, p.closed_at
FROM trading_exitleg l JOIN trading_position p ON p.id = l.position_id WHERE p.id = %(position)s
UNION ALL
SELECT 'exit', e.leg_id, e.source, e.status, e.late, e.trigger_price, e.tick_at, e.trade_id::text, e.note,
    d.worker, e.recorded_at
FROM trading_exit e LEFT JOIN trading_drain d ON d.id = e.drain_id WHERE e.position_id = %(position)s
"""


@dataclass(slots=True)
class Market:
    """Every trade of one product: instants in seconds since the epoch, prices, and the price of each trade id."""

    at: list[float] = field(default_factory=list)
    prices: list[float] = field(default_factory=list)
    by_id: dict[int, float] = field(default_factory=dict)

    def first_crossing(self, since: float, rises: bool, level: float) -> float | None:
        """Return when the price first reached a level after an instant."""
        for index in range(bisect_left(self.at, since), len(self.at)):
            if (self.prices[index] >= level) if rises else (self.prices[index] <= level):
                return self.at[index]
        return None


def market(trades: Sequence[Mapping[str, Any]]) -> Market:
    """Return the exchange's trades, which come newest first, in their order."""
    found = Market()
    for trade in reversed(trades):
        found.at.append(datetime.fromisoformat(trade["time"]).timestamp())
        found.prices.append(float(trade["price"]))
        found.by_id[int(trade["trade_id"])] = float(trade["price"])
    return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the levels that a span of time crossed."""

    crossed: int  # positions
    worst: float  # seconds from the trade to the commit of the close, over all of them
    open: list[int]  # positions that should be closed and are not
    slowest: int  # the position that took longest
    invented: list[int]  # exits at a trade the exchange never made, or at another price than it made it


def judge(markets: Mapping[str, Market], since: float, until: float) -> Verdict:
    """Compare every position with the trades: what was first crossed within [since, until) must be closed."""
    crossings: dict[int, float] = {}
    closed: dict[int, float | None] = {}
    for position, symbol, made, rises, level, left in _ask(_LEGS):
        at = markets[symbol].first_crossing(made + MARGIN, rises, level)
        if at is not None:
            crossings[position] = min(at, crossings.get(position, at))
            closed[position] = left
    # What another leg had closed before is no longer there to be crossed.
    relevant = {
        key: at for key, at in crossings.items() if since <= at < until and ((left := closed[key]) is None or left > at)
    }
    delays = {key: left - at for key, at in relevant.items() if (left := closed[key]) is not None}
    slowest = max(delays, key=delays.__getitem__, default=0)
    return Verdict(
        crossed=len(relevant),
        worst=delays.get(slowest, 0.0),
        slowest=slowest,
        open=[key for key in relevant if closed[key] is None],
        invented=[
            key for symbol, trade, price, key in _ask(_DONE, since, until) if markets[symbol].by_id.get(trade) != price
        ],
    )


def _ask(question: str, *values: float) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(question, values or None)
        return cursor.fetchall()


def story(position_id: int) -> str:
    """Tell what the database knows of one position, for a person who looks for the reason of a failure."""
    rows = _ask(_STORY.replace("%(position)s", "%s"), position_id, position_id)
    return "\n".join(" | ".join(map(str, row)) for row in rows)
