"""backtesting.py: a Python callback per bar. Its bracket takes stop and target of the close that signalled."""

import warnings
from collections.abc import Mapping
from typing import Any

import backtesting
import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import crossover

from benchmarks.peers import turn
from benchmarks.peers.turn import CASH, FAST, FEE, SLOW, STOP, TARGET, Bars, Figures, Run


def mean(values: Any, length: int) -> Any:
    """Return the simple moving mean, as its documentation writes it."""
    return pd.Series(values).rolling(length).mean()


class Cross(Strategy):
    """Buys on an up-cross, sells everything on a down-cross."""

    def init(self) -> None:
        """Name the two means."""
        self.fast = self.I(mean, self.data.Close, FAST)
        self.slow = self.I(mean, self.data.Close, SLOW)

    def next(self) -> None:
        """Decide at the close of a bar."""
        if crossover(self.fast, self.slow):
            self.buy()
        elif crossover(self.slow, self.fast):
            self.position.close()


class Bracket(Cross):
    """Buys on an up-cross, leaves at its stop or target."""

    def next(self) -> None:
        """Decide at the close of a bar."""
        if not self.position and crossover(self.fast, self.slow):
            price = self.data.Close[-1]
            self.buy(sl=price * (1 - STOP), tp=price * (1 + TARGET))


def cross(bars: Bars, settings: Mapping[str, Any]) -> Run:
    """SMA cross, entry and exit at the next open."""
    return _runs(bars, Cross)


def bracket(bars: Bars, settings: Mapping[str, Any]) -> Run:
    """The same entry, left at a stop or a target only."""
    return _runs(bars, Bracket)


def _runs(bars: Bars, strategy: type[Strategy]) -> Run:
    columns = {name.title(): getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    table = pd.DataFrame(columns, index=pd.to_datetime(bars.at, unit="s"))
    backtesting._tqdm = lambda every, **_: every  # a bar of progress is no part of the work
    warnings.simplefilter("ignore")  # that trades are open at the end

    def run() -> Figures:
        told = Backtest(table, strategy, cash=CASH, commission=FEE).run()
        return Figures(len(told["_trades"]), float(told["Equity Final [$]"]))

    return run


if __name__ == "__main__":
    turn.main({"cross": cross, "bracket": bracket})
