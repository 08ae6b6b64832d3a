"""Our engine, end to end: the stances of the strategy, the run with equity and trades, and the core statistics."""

from collections.abc import Mapping
from typing import Any

from apps.domain.backtests import engine, statistics
from apps.domain.backtests.conventions import Conventions
from apps.domain.strategies import contract
from apps.domain.strategies.contract import Candles
from apps.domain.strategies.sma_cross import SmaCross
from benchmarks.peers import turn
from benchmarks.peers.turn import CASH, FAST, FEE, SLOW, STOP, TARGET, Bars, Figures, Run

MINUTE = 60.0


def cross(bars: Bars, settings: Mapping[str, Any]) -> Run:
    """SMA cross; `settings` are the conventions in which the peer differs from ours."""
    return _runs(bars, ((FAST, SLOW),), Conventions(cash=CASH, fee_rate=FEE, slippage="none", **settings))


def bracket(bars: Bars, settings: Mapping[str, Any]) -> Run:
    """The same entry, left at a stop or a target only."""
    levels = {"stop_loss": STOP, "take_profit": TARGET, "exit_on_signal": False}
    return _runs(bars, ((FAST, SLOW),), Conventions(cash=CASH, fee_rate=FEE, slippage="none", **levels, **settings))


def sweep(bars: Bars, settings: Mapping[str, Any]) -> Run:
    """The cross with every pair of lengths."""
    return _runs(bars, turn.PAIRS, Conventions(cash=CASH, fee_rate=FEE, slippage="none", **settings))


def _runs(bars: Bars, pairs: tuple[tuple[int, int], ...], conventions: Conventions) -> Run:
    candles = Candles(*bars)

    def run() -> Figures:
        found = [_one(candles, fast, slow, conventions) for fast, slow in pairs]
        return Figures(sum(each.trades for each in found), sum(each.final_equity for each in found))

    return run


def _one(candles: Candles, fast: int, slow: int, conventions: Conventions) -> Figures:
    strategy = contract.build(SmaCross, {"fast": fast, "slow": slow})
    result = engine.run(candles, strategy.stances(candles), conventions, warmup=strategy.warmup)
    told = statistics.core(result, bar_seconds=MINUTE)
    return Figures(result.closed_trades, float(told["final_equity"] or 0.0))


KINDS = {"cross": cross, "bracket": bracket, "sweep": sweep}

if __name__ == "__main__":
    turn.main(KINDS)
