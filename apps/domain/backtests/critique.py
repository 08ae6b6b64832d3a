"""What speaks against believing a backtest? Remarks, the gravest first, each with its number, limit and remedy.

The same result, statistics, context and seed give the same remarks. docs/statistics.md has a row for each code.
"""

from collections.abc import Callable, Mapping
from typing import Any

from apps.domain.backtests.doubts import evidence, luck, market, money
from apps.domain.backtests.remarks import Case, Context, Remark, Severity
from apps.domain.backtests.result import Result

__all__ = ["CODES", "Context", "Remark", "Severity", "bounds_json", "of"]

_DOUBTS: Mapping[str, Callable[[Case], Remark | None]] = {
    "no-trades": evidence.no_trades,
    "loses-money": luck.loses,
    "few-trades": evidence.few_trades,
    "many-parameters": evidence.many_parameters,
    "too-short": evidence.too_short,
    "overlap": evidence.overlap,
    "luck-band": luck.luck_band,
    "best-of-many": luck.best_of_many,
    "random-entry": luck.random_entries,
    "intrabar": market.intrabar,
    "fee-dominated": money.costs,
    "no-costs": money.free_of_charge,
    "single-trade": money.single_trade,
    "single-year": money.single_year,
    "unrealised": money.unrealised,
    "deep-drawdown": money.deep_fall,
    "under-water": money.under_water,
    "flat-curve": money.flat_curve,
    "stale-fills": market.stale_fills,
    "gaps": market.gaps,
    "capacity": market.capacity,
    "same-close": market.same_close,
    "benchmark": market.beaten_by_holding,
    "rejected": money.rejected,
    "in-sample": evidence.in_sample,
}
CODES = tuple(_DOUBTS)


def of(result: Result, statistics: Mapping[str, Any], context: Context) -> list[Remark]:
    """Return everything that speaks against the result, the gravest first. `statistics` is that of `statistics.of`."""
    case = Case(result, statistics, context)
    found = [remark for doubt in _DOUBTS.values() if (remark := doubt(case)) is not None]
    return sorted(found, key=lambda remark: list(Severity).index(remark.severity))


def bounds_json(stop_first: Result, target_first: Result) -> dict[str, Any]:
    """Return both intrabar bounds as JSON holds them, and how much of the result hung on the order."""
    both = (stop_first, target_first)
    return {
        "stop_first": _bound(stop_first),
        "target_first": _bound(target_first),
        "ambiguous_bars": max(each.ambiguous_bars for each in both),
        "ambiguous_trades": max(int(each.trades.ambiguous.sum()) for each in both),
    }


def _bound(result: Result) -> dict[str, Any]:
    return {
        "final_equity": result.final_equity,
        "closed_trades": result.closed_trades,
        "max_drawdown_pct": result.max_drawdown_pct,
        "win_rate_pct": result.win_rate_pct,
    }
