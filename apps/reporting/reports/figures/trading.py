"""What was traded? The closed lots with why they were opened and left, in every grouping, and how fast exits were."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from apps.domain import numbers
from apps.reporting.reports.periods import Period
from apps.reporting.reports.subjects import Subject
from apps.trading.statistics import latency, plain, trades
from apps.trading.statistics.selection import Period as Step

MOST: Final = 1000
_ROWS = """
SELECT p.id, i.symbol, i.quote_currency, p.side, p.quantity, p.entry_price, p.exit_notional, p.opened_at, p.closed_at,
    p.realised_pnl, p.fees, p.exit_reason, coalesce(y.name, ''), g.stance, coalesce(d.source, ''),
    coalesce(d.actor, ''), coalesce(x.actor, ''), coalesce(x.note, ''), x.late,
    extract(epoch FROM coalesce(r.committed_at, x.closed_at) - x.tick_at) * 1000
FROM trading_position p JOIN market_instrument i ON i.id = p.instrument_id {signal}
LEFT JOIN strategies_signal g ON g.id = p.signal_id LEFT JOIN strategies_strategy y ON y.id = g.strategy_id
LEFT JOIN trading_exit x ON x.id = p.last_exit_id LEFT JOIN trading_drain r ON r.id = x.drain_id
LEFT JOIN LATERAL (
    SELECT c.source, c.actor FROM trading_decision c WHERE c.position_id = p.id ORDER BY c.id DESC LIMIT 1
) d ON true
WHERE p.status = 'closed' AND {where} ORDER BY p.closed_at DESC, p.id DESC LIMIT %(most)s
"""
_STANCES: Final = {1: "long", 0: "flat", -1: "short"}


def of(subject: Subject, period: Period) -> dict[str, Any]:
    """Return the figures of trading as plain values."""
    selection = subject.selection(period)
    statement = _ROWS.format(signal=selection.signal("p"), where=selection.where(at="p.closed_at"))
    return {
        "groups": plain.of(trades.of(selection, by=Step.DAY)),
        "rows": [_row(row) for row in selection.ask(statement, most=MOST)],
        "exits": plain.of(latency.of(selection)),
    }


def _row(row: tuple[Any, ...]) -> dict[str, Any]:
    number, symbol, currency, side, quantity, entry, notional, opened, closed, pnl, fees, reason, strategy, *more = row
    stance, source, opener, leaver, note, late, took = more
    return {
        "position": number,
        "instrument": symbol,
        "currency": currency,
        "side": side,
        **_plain(quantity=quantity, entry_price=entry, exit_price=numbers.average(notional, quantity)),
        "opened_at": _instant(opened),
        "closed_at": _instant(closed),
        **_plain(gross_pnl=pnl, fees=fees, net_pnl=pnl - fees),
        "why_in": _why_in(strategy, stance, source, opener),
        "why_out": _why_out(reason, leaver, note),
        "late": bool(late),
        "tick_to_close_ms": None if took is None else float(round(took, 1)),
    }


def _plain(**values: Decimal) -> dict[str, Any]:
    return {name: plain.of(value) for name, value in values.items()}


def _instant(value: datetime) -> str:
    return value.isoformat()


def _why_in(strategy: str, stance: int | None, source: str, actor: str) -> str:
    if strategy:
        return f"{strategy}: {_STANCES.get(stance or 0, 'flat')}"
    return " ".join(filter(None, ("by hand" if source in ("", "admin", "desk") else f"by {source}", actor)))


def _why_out(reason: str, actor: str, note: str) -> str:
    by = f" by {actor}" if actor else ""
    return f"{reason.replace('_', ' ')}{by}{f': {note}' if note else ''}"
