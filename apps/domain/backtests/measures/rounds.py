"""What the closed trades say: how often and how much they win, how long they last, and what is still open.

A partial exit is a trade of its own. The rate of a trade is its pnl, after fees and carry, over what its entry cost.
"""

import math
from typing import Any

import numpy as np

from apps.domain.backtests.measures import plain, ratios
from apps.domain.backtests.measures.plain import percent, ratio
from apps.domain.backtests.measures.sampling import DAY, Ints
from apps.domain.backtests.result import Result, Trades
from apps.domain.strategies.contract import Floats


def headline(result: Result) -> dict[str, Any]:
    """The figures about trades that a search may be asked to maximise."""
    pnl = result.trades.pnl
    wins, losses = pnl[pnl > 0], pnl[pnl < 0]
    spread = ratios.deviation(pnl)
    return {
        "closed_trades": result.trades.closed,
        "win_rate_pct": percent(ratio(len(wins), len(pnl))),
        "profit_factor": ratio(float(wins.sum()), -float(losses.sum())),
        "expectancy": plain.mean(pnl),
        "sqn": ratio(plain.mean(pnl), spread) * math.sqrt(len(pnl)),
    }


def of(result: Result) -> dict[str, Any]:
    """Measure the trades beyond the headline."""
    trades = result.trades
    return {
        "open_trades": len(result.open),
        "rejected_entries": sum(result.rejected.values()),
        "ambiguous_bars": result.ambiguous_bars,
        "ambiguous_trades": int(np.count_nonzero(trades.ambiguous)),
        **_sides(trades),
        **_money(trades.pnl),
        **_rates(trades),
        **_durations(trades, result.at),
    }


def rates(trades: Trades) -> Floats:
    """Return the pnl of each trade over the notional of its entry."""
    notional = np.abs(trades.entry_price * trades.size)
    return np.divide(trades.pnl, notional, out=np.zeros_like(trades.pnl), where=notional > 0)


def bars_held(result: Result) -> int:
    """Return on how many bars a position was held, those of entry and exit included, overlaps counted once."""
    last = len(result.at) - 1
    began = np.concatenate((result.trades.entry_bar, [each.entry_bar for each in result.open])).astype(np.int64)
    ended = np.concatenate((result.trades.exit_bar, [last] * len(result.open))).astype(np.int64)
    if not len(began):
        return 0
    if np.any(began[1:] < began[:-1]):
        order = np.argsort(began, kind="stable")
        began, ended = began[order], ended[order]
    ended = np.maximum.accumulate(ended)
    free = np.concatenate(([-1], ended[:-1])) + 1
    return int(np.sum(np.maximum(ended - np.maximum(began, free) + 1, 0)))


def _sides(trades: Trades) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, chosen in (("long", trades.side > 0), ("short", trades.side < 0)):
        pnl = trades.pnl[chosen]
        found |= {
            f"{name}_trades": len(pnl),
            f"{name}_pnl": float(pnl.sum()),
            f"{name}_win_rate_pct": percent(ratio(float(np.sum(pnl > 0)), len(pnl))),
        }
    return found


def _money(pnl: Floats) -> dict[str, Any]:
    wins, losses = pnl[pnl > 0], pnl[pnl < 0]
    payoff, won = ratio(plain.mean(wins), -plain.mean(losses)), ratio(len(wins), len(pnl))
    return {
        "gross_profit": float(wins.sum()),
        "gross_loss": float(losses.sum()),
        "average_win": plain.mean(wins),
        "average_loss": plain.mean(losses),
        "largest_win": plain.extreme(wins, True),
        "largest_loss": plain.extreme(losses, False),
        "payoff_ratio": payoff,
        "kelly_pct": percent(won - ratio(1.0 - won, payoff)),
        "longest_win_streak": ratios.longest_run(pnl > 0),
        "longest_loss_streak": ratios.longest_run(pnl < 0),
    }


def _rates(trades: Trades) -> dict[str, Any]:
    each = rates(trades)
    return {
        "best_trade_pct": percent(plain.extreme(each, True)),
        "worst_trade_pct": percent(plain.extreme(each, False)),
        "average_trade_pct": percent(plain.mean(each)),
        "geometric_trade_pct": percent(ratios.geometric_mean(each)),
        "profit_factor_rates": ratio(float(each[each > 0].sum()), -float(each[each < 0].sum())),
        "average_win_pct": percent(plain.mean(each[each > 0])),
        "average_loss_pct": percent(plain.mean(each[each < 0])),
        "average_adverse_pct": percent(plain.mean(trades.mae)),
        "average_favourable_pct": percent(plain.mean(trades.mfe)),
        "edge_ratio": ratio(plain.mean(trades.mfe), -plain.mean(trades.mae)),
    }


def _durations(trades: Trades, at: Ints) -> dict[str, Any]:
    days = (at[trades.exit_bar] - at[trades.entry_bar]) / DAY
    return {
        "longest_trade_days": plain.extreme(days, True),
        "average_trade_days": plain.mean(days),
        "average_trade_bars": plain.mean(trades.exit_bar - trades.entry_bar),
    }
