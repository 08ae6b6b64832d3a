"""vectorbt: whole columns at once, stops and targets included; a sweep is one broadcast over its combinations.

It cannot fill at the next open by itself: signals move one bar on and fill at that bar's open. Levels are not tested
on the bar of the entry.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import vectorbt as vbt

from benchmarks.peers import turn
from benchmarks.peers.turn import CASH, FAST, FEE, SLOW, STOP, TARGET, Bars, Figures, Run


def cross(bars: Bars, settings: Mapping[str, Any]) -> Run:
    """SMA cross, entry and exit at the next open."""
    opened, close = (_series(bars, name) for name in ("open", "close"))

    def run() -> Figures:
        up, down = _crossings(close, FAST, SLOW)
        return _told(vbt.Portfolio.from_signals(close, up, down, price=opened, **_account()))

    return run


def bracket(bars: Bars, settings: Mapping[str, Any]) -> Run:
    """The same entry, left at a stop or a target only."""
    opened, high, low, close = (_series(bars, name) for name in ("open", "high", "low", "close"))
    levels = {
        "open": opened,
        "high": high,
        "low": low,
        "sl_stop": STOP,
        "tp_stop": TARGET,
        "stop_entry_price": "fillprice",
        "stop_exit_price": "stoplimit",
    }

    def run() -> Figures:
        up, _ = _crossings(close, FAST, SLOW)
        return _told(vbt.Portfolio.from_signals(close, up, False, price=opened, **levels, **_account()))

    return run


def sweep(bars: Bars, settings: Mapping[str, Any]) -> Run:
    """The cross with every pair of lengths, a column each."""
    # What it keeps for the next question takes a third of its memory and, asked once, saves no time.
    vbt.settings.caching["enabled"] = False
    opened, close = (_series(bars, name) for name in ("open", "close"))
    lengths = [list(each) for each in zip(*turn.PAIRS, strict=True)]

    def run() -> Figures:
        up, down = _crossings(close, *lengths)
        return _told(vbt.Portfolio.from_signals(close, up, down, price=opened, **_account()))

    return run


def _series(bars: Bars, name: str) -> Any:
    return pd.Series(getattr(bars, name), index=pd.to_datetime(bars.at, unit="s"))


def _account() -> dict[str, Any]:
    return {"fees": FEE, "init_cash": CASH, "size_granularity": 1.0, "freq": "1min"}


def _crossings(close: Any, fast: Any, slow: Any) -> tuple[Any, Any]:
    short, long = vbt.MA.run(close, fast, short_name="fast"), vbt.MA.run(close, slow, short_name="slow")
    above, below = short.ma_crossed_above(long), short.ma_crossed_below(long)
    return above.vbt.signals.fshift(1), below.vbt.signals.fshift(1)


def _told(portfolio: Any) -> Figures:
    portfolio.total_return()
    portfolio.max_drawdown()
    portfolio.trades.win_rate()
    return Figures(int(_sum(portfolio.trades.closed.count())), float(_sum(portfolio.final_value())))


def _sum(value: Any) -> Any:
    return value.sum() if hasattr(value, "sum") else value


if __name__ == "__main__":
    turn.main({"cross": cross, "bracket": bracket, "sweep": sweep})
