"""What did the money do? Profit by the books, what the account was worth before and after, its way in between.

The profit of a period told in two ways agrees: what the account is worth more, deposits left out, is what was realised
less fees and what open lots gained or lost.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from apps.reporting.reports.periods import Period
from apps.reporting.reports.subjects import Subject
from apps.trading.models import Account
from apps.trading.statistics import books, equity, lots, plain
from apps.trading.statistics.books import Taken
from apps.trading.statistics.equity import Curve
from apps.trading.statistics.selection import Period as Step
from apps.trading.statistics.selection import Selection

POINTS: Final = 800
_MINUTE: Final = timedelta(minutes=1)
_ZERO: Final = Decimal(0)
# What is held at cost, and the money beside it: what an account is worth beyond is not realised.
_BOOKED = """
SELECT coalesce(sum(l.cash + l.holdings), 0) FROM trading_ledgerentry l
WHERE l.account_id = ANY(%(accounts)s) AND l.currency = %(currency)s AND l.at < %(before)s
"""
_EXPOSURE = """
SELECT extract(epoch FROM date_bin(%(width)s, m.at, TIMESTAMPTZ '1970-01-01 00:00+00'))::bigint, max(m.gross),
    (array_agg(m.net ORDER BY m.at DESC))[1], min(coalesce(m.lowest, m.equity)), max(m.open_positions), avg(m.gross)
FROM trading_riskmetric m
WHERE m.account_id = ANY(%(accounts)s) AND m.at >= %(since)s AND m.at < %(until)s GROUP BY 1 ORDER BY 1
"""
# A strategy has no money of its own: its curve is what its closed lots had gained after fees.
_TAKEN = """
SELECT extract(epoch FROM date_bin(%(width)s, p.closed_at, TIMESTAMPTZ '1970-01-01 00:00+00'))::bigint,
    i.quote_currency, sum(p.realised_pnl - p.fees)
FROM trading_position p JOIN market_instrument i ON i.id = p.instrument_id {signal}
WHERE p.status = 'closed' AND {where} GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What an account was worth at an instant in its own currency, and what of that was not realised."""

    equity: Decimal
    unrealised_pnl: Decimal
    origin: str


def of(subject: Subject, period: Period, now: datetime) -> dict[str, Any]:
    """Return the figures of money as plain values."""
    selection = subject.selection(period)
    found: dict[str, Any] = {
        "books": plain.of(summed(books.by_period(selection, by=Step.DAY))),
        "by_day": plain.of(books.by_period(selection, by=Step.DAY)),
        "fees": plain.of(books.fees(selection, by=Step.MONTH)),
        "open": {
            "at": now.isoformat(),
            "sums": plain.of(lots.sums(selection)),
            "lots": plain.of(lots.newest(selection)),
        },
    }
    if subject.strategy is None:
        return found | _of_account(subject.account, selection, period, now)
    return found | {"worth": None, "equity": None, "exposure": None, "taken": _taken(selection, period)}


def summed(rows: Iterable[Taken]) -> list[dict[str, Any]]:
    """Return the lines of the ledger per currency over all days."""
    sums: dict[str, dict[str, Any]] = {}
    for row in rows:
        total = sums.setdefault(row.currency, {"currency": row.currency})
        for name in ("realised_pnl", "fees", "net_pnl", "deposits"):
            total[name] = total.get(name, _ZERO) + getattr(row, name)
    return list(sums.values())


def worth_at(account: Account, at: datetime, now: datetime) -> Worth | None:
    """Return what an account was worth at an instant; None before its first money."""
    curve = equity.of(account, now=now, since=at - _MINUTE, until=at, most=2)
    if not curve.points:
        return None
    last = curve.points[-1]
    ((booked,),) = Selection(accounts=[account.pk]).ask(_BOOKED, currency=account.currency, before=at)
    return Worth(equity=last.equity, unrealised_pnl=last.equity - booked, origin=str(last.source))


def _of_account(account: Account, selection: Selection, period: Period, now: datetime) -> dict[str, Any]:
    curve = equity.of(account, now=now, since=period.since, until=period.until, most=POINTS)
    return {
        "worth": _worth(account, selection, period, now),
        "equity": _curve(curve),
        "exposure": _exposure(selection, period),
        "taken": None,
    }


def _worth(account: Account, selection: Selection, period: Period, now: datetime) -> dict[str, Any] | None:
    after = worth_at(account, period.until, now)
    if after is None:
        return None
    nothing = Worth(equity=_ZERO, unrealised_pnl=_ZERO, origin=after.origin)
    before = worth_at(account, period.since, now) or nothing
    own = [row for row in summed(books.by_period(selection)) if row["currency"] == account.currency]
    deposits = own[0]["deposits"] if own else _ZERO
    told: dict[str, Any] = plain.of(
        {
            "currency": account.currency,
            "before": before,
            "after": after,
            "deposits": deposits,
            "gain": after.equity - before.equity - deposits,
            "unrealised_change": after.unrealised_pnl - before.unrealised_pnl,
        }
    )
    return told


def _curve(curve: Curve) -> dict[str, Any]:
    points = [[int(p.at.timestamp()), *plain.of([p.equity, p.drawdown]), str(p.source)] for p in curve.points]
    return {
        "currency": curve.currency,
        "width": curve.width.total_seconds(),
        "points": points,
        "max_drawdown": plain.of(curve.max_drawdown),
        "growth": plain.of(curve.points[-1].growth) if curve.points else None,
        "trouble": curve.trouble,
    }


def _exposure(selection: Selection, period: Period) -> dict[str, Any] | None:
    rows = selection.ask(_EXPOSURE, width=_width(period))
    if not rows:
        return None
    return {
        "points": [[at, *plain.of([gross, net])] for at, gross, net, *_ in rows],
        "max_gross": plain.of(max(row[1] for row in rows)),
        "mean_gross": plain.of(sum((row[5] for row in rows), _ZERO) / len(rows)),
        "last_net": plain.of(rows[-1][2]),
        "lowest_equity": plain.of(min(row[3] for row in rows)),
        "most_positions": max(row[4] for row in rows),
    }


def _taken(selection: Selection, period: Period) -> list[list[Any]]:
    statement = _TAKEN.format(signal=selection.signal("p"), where=selection.where(at="p.closed_at"))
    return [[at, currency, plain.of(gained)] for at, currency, gained in selection.ask(statement, width=_width(period))]


def _width(period: Period) -> timedelta:
    """Return how long the steps of a curve are: minutes of a day, hours of a month."""
    minutes = max(1, int((period.until - period.since) / _MINUTE / POINTS))
    return _MINUTE * next(each for each in (1, 5, 15, 60, 240, 1440, 10**6) if each >= minutes)
