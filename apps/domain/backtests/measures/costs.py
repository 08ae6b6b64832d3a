"""What trading cost: fees, slippage, carry, and how often the account was turned over."""

from typing import Any

import numpy as np

from apps.domain.backtests.conventions import Conventions, Slippage
from apps.domain.backtests.measures.plain import percent, ratio
from apps.domain.backtests.result import Reason, Result, Trades
from apps.domain.strategies.contract import Candles, Floats


def of(result: Result, candles: tuple[Candles, ...], *, years: float) -> dict[str, Any]:
    """Measure the costs of closed trades; `years` is how long the run was."""
    trades = result.trades
    fees = float(trades.entry_fee.sum() + trades.exit_fee.sum())
    carry, slipped = float(trades.carry.sum()), slippage(result, candles)
    before = trades.pnl + trades.entry_fee + trades.exit_fee + trades.carry
    gross = float(before[before > 0].sum())
    traded = float(np.sum(np.abs(trades.size) * (trades.entry_price + trades.exit_price)))
    turned = ratio(traded, float(result.equity.mean()))
    return {
        "fees_total": fees,
        "slippage_estimate": slipped,
        "carry_total": carry,
        "pnl_before_costs": float(before.sum()) + slipped,
        "fees_of_gross_profit_pct": percent(ratio(fees, gross)),
        "costs_of_gross_profit_pct": percent(ratio(fees + carry + slipped, gross + slipped)),
        "turnover": turned,
        "turnover_a_year": ratio(turned, years),
        "trades_a_year": ratio(trades.closed, years),
    }


def slippage(result: Result, candles: tuple[Candles, ...]) -> float:
    """Return what the stated slippage model made the fills worse, in money. Targets that rest have none."""
    trades, rules = result.trades, result.conventions
    if rules.slippage is Slippage.NONE or not trades.closed:
        return 0.0
    rests = (trades.reason == Reason.TAKE_PROFIT) & (rules.maker_rate is not None)
    entry = _worse(rules, trades, trades.entry_price, trades.side, _volume(trades, candles, trades.entry_bar))
    leave = _worse(rules, trades, trades.exit_price, -trades.side, _volume(trades, candles, trades.exit_bar))
    return float(np.sum(np.abs(trades.size) * (entry + np.where(rests, 0.0, leave))))


def _worse(rules: Conventions, trades: Trades, price: Floats, direction: Any, volume: Floats) -> Floats:
    """Return by how much each fill at `price` was worse than the market, per unit; +1 bought and -1 sold."""
    if rules.slippage is Slippage.FIXED:
        return np.full(trades.closed, rules.slippage_value)
    rate = np.full(trades.closed, rules.slippage_value)
    if rules.slippage is Slippage.SPREAD:
        rate = rate / 2.0
    elif rules.slippage is Slippage.VOLUME_SHARE:
        known = volume > 0
        rate = rate * np.divide(np.abs(trades.size), volume, out=np.zeros(trades.closed), where=known) ** 2
    # The price holds the slippage already, so the market's own price is taken out of it first.
    return np.asarray(price * rate / np.maximum(1.0 + direction * rate, 1e-9))


def _volume(trades: Trades, candles: tuple[Candles, ...], bars: Any) -> Floats:
    """Return the volume of the bar before each fill, of the fill's own instrument."""
    found = np.zeros(trades.closed)
    for number, one in enumerate(candles):
        chosen = trades.instrument == number
        found[chosen] = one.volume[np.maximum(bars[chosen] - 1, 0)]
    return found
