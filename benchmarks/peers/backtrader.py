"""backtrader: a Python callback per bar. Levels are orders sent after the fill, so the bar of the entry has none."""

from collections.abc import Mapping
from typing import Any

import backtrader as bt
import pandas as pd

from benchmarks.peers import turn
from benchmarks.peers.turn import CASH, FAST, FEE, SLOW, STOP, TARGET, Bars, Figures, Run


class Cross(bt.Strategy):
    """Buys on an up-cross, sells everything on a down-cross; the size is known at the next open only."""

    def __init__(self) -> None:
        fast, slow = bt.ind.SMA(self.data.close, period=FAST), bt.ind.SMA(self.data.close, period=SLOW)
        self.apart = fast - slow
        self.wish = 0
        self.closed = 0

    def next(self) -> None:
        """Decide at the close of a bar."""
        before, now = self.apart[-1], self.apart[0]
        self.wish = (1 if before < 0 < now else -1 if before > 0 > now else 0) if len(self) > SLOW else 0

    def next_open(self) -> None:
        """Send the order that the open fills."""
        if self.wish > 0 and not self.position:
            self.buy(size=int(self.broker.getcash() / (self.data.open[0] * (1 + FEE))))
        elif self.wish < 0 and self.position:
            self.close()

    def notify_trade(self, trade: Any) -> None:
        """Count what is closed."""
        self.closed += trade.isclosed


class Bracket(Cross):
    """Buys on an up-cross, leaves at its stop or target."""

    def next_open(self) -> None:
        """Send the order that the open fills."""
        if self.wish > 0 and not self.position:
            self.buy(size=int(self.broker.getcash() / (self.data.open[0] * (1 + FEE))))

    def notify_order(self, order: Any) -> None:
        """Send stop and target, of which one cancels the other, once the entry is filled."""
        if order.isbuy() and order.status == order.Completed:
            price, size = order.executed.price, order.executed.size
            stop = self.sell(size=size, exectype=bt.Order.Stop, price=price * (1 - STOP))
            self.sell(size=size, exectype=bt.Order.Limit, price=price * (1 + TARGET), oco=stop)


def cross(bars: Bars, settings: Mapping[str, Any]) -> Run:
    """SMA cross, entry and exit at the next open."""
    return _runs(bars, Cross)


def bracket(bars: Bars, settings: Mapping[str, Any]) -> Run:
    """The same entry, left at a stop or a target only."""
    return _runs(bars, Bracket)


def _runs(bars: Bars, strategy: type[Cross]) -> Run:
    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    table = pd.DataFrame(columns, index=pd.to_datetime(bars.at, unit="s"))

    def run() -> Figures:
        cerebro = bt.Cerebro(cheat_on_open=True, stdstats=False)
        cerebro.broker.setcash(CASH)
        cerebro.broker.setcommission(commission=FEE)
        cerebro.adddata(bt.feeds.PandasData(dataname=table))
        cerebro.addstrategy(strategy)
        (done,) = cerebro.run()
        return Figures(done.closed, cerebro.broker.getvalue())

    return run


if __name__ == "__main__":
    turn.main({"cross": cross, "bracket": bracket})
