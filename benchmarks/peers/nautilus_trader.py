"""nautilus_trader: a message bus and an order book for every bar. A market order fills at the close that decided it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import BacktestEngineConfig, LoggingConfig, StrategyConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

from benchmarks.peers import turn
from benchmarks.peers.turn import CASH, DECIMALS, FAST, FEE, SLOW, STOP, TARGET, Bars, Figures, Run

VENUE = Venue("SIM")
INSTRUMENT = InstrumentId(Symbol("WALK"), VENUE)
BARS = BarType.from_str(f"{INSTRUMENT}-1-MINUTE-LAST-EXTERNAL")


class Cross(Strategy):
    """Buys on an up-cross, sells everything on a down-cross."""

    def __init__(self) -> None:
        super().__init__(StrategyConfig())
        self.fast, self.slow = SimpleMovingAverage(FAST), SimpleMovingAverage(SLOW)
        self.before = 0.0
        self.seen = 0
        self.held: Quantity | None = None

    def on_start(self) -> None:
        """Ask for the bars, with both means kept up."""
        self.instrument = self.cache.instrument(INSTRUMENT)
        for each in (self.fast, self.slow):
            self.register_indicator_for_bars(BARS, each)
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        """Decide at the close of a bar."""
        self.seen += 1
        if self.seen < SLOW:
            return
        apart = self.fast.value - self.slow.value
        before, self.before = self.before, apart
        self.follow(before, apart, bar.close.as_double())

    def follow(self, before: float, now: float, close: float) -> None:
        """Buy on an up-cross, sell on a down-cross."""
        if self.held is None and before < 0 < now:
            self.held = self.affordable(close)
            self._send(OrderSide.BUY, self.held)
        elif self.held is not None and before > 0 > now:
            self._send(OrderSide.SELL, self.held)
            self.held = None

    def affordable(self, close: float) -> Quantity:
        """Return what the cash can pay at a price."""
        cash = self.portfolio.account(VENUE).balance_free(USDT).as_double()
        return self.instrument.make_qty(int(cash / (close * (1 + FEE))))

    def _send(self, side: OrderSide, quantity: Quantity) -> None:
        self.submit_order(self.order_factory.market(instrument_id=INSTRUMENT, order_side=side, quantity=quantity))


class Bracket(Cross):
    """Buys on an up-cross, leaves at its stop or target, of which one cancels the other."""

    def follow(self, before: float, now: float, close: float) -> None:
        """Enter with both levels of the close, which is the price of the fill."""
        if self.held is None and before < 0 < now:
            self.held, make = self.affordable(close), self.instrument.make_price
            self.submit_order_list(
                self.order_factory.bracket(
                    instrument_id=INSTRUMENT,
                    order_side=OrderSide.BUY,
                    quantity=self.held,
                    sl_trigger_price=make(close * (1 - STOP)),
                    tp_price=make(close * (1 + TARGET)),
                    tp_post_only=False,
                )
            )

    def on_order_filled(self, event: OrderFilled) -> None:
        """Know when it is flat again."""
        if event.order_side == OrderSide.SELL:
            self.held = None


def cross(bars: Bars, settings: Mapping[str, Any]) -> Run:
    """SMA cross, entry and exit at the close."""
    return _runs(bars, Cross)


def bracket(bars: Bars, settings: Mapping[str, Any]) -> Run:
    """The same entry, left at a stop or a target only, always at its price."""
    return _runs(bars, Bracket)


def _runs(bars: Bars, kind: type[Cross]) -> Run:
    instrument = _instrument()
    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    table = pd.DataFrame(columns, index=pd.to_datetime(bars.at, unit="s", utc=True))
    built = BarDataWrangler(BARS, instrument).process(table)  # as other engines take arrays, this one takes Bars

    def run() -> Figures:
        engine = _engine(instrument, built)
        strategy = kind()
        engine.add_strategy(strategy)
        engine.run()
        figures = _told(engine, strategy, float(bars.close[-1]))
        engine.dispose()
        return figures

    return run


def _engine(instrument: Equity, built: list[Bar]) -> BacktestEngine:
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False))
    engine.add_venue(
        VENUE, OmsType.NETTING, AccountType.CASH, [Money(CASH, USDT)], base_currency=USDT, bar_execution=True
    )
    engine.add_instrument(instrument)
    engine.add_data(built, validate=False, sort=False)
    return engine


def _told(engine: BacktestEngine, strategy: Cross, last: float) -> Figures:
    cash = engine.portfolio.account(VENUE).balance_total(USDT).as_double()
    sold = sum(
        order.side == OrderSide.SELL and order.is_closed and order.filled_qty > 0 for order in engine.cache.orders()
    )
    return Figures(sold, cash + (strategy.held.as_double() * last if strategy.held else 0.0))


def _instrument() -> Equity:
    return Equity(
        instrument_id=INSTRUMENT,
        raw_symbol=Symbol("WALK"),
        currency=USDT,
        price_precision=DECIMALS,
        price_increment=Price(10**-DECIMALS, DECIMALS),
        lot_size=Quantity.from_int(1),
        maker_fee=Decimal(str(FEE)),
        taker_fee=Decimal(str(FEE)),
        ts_event=0,
        ts_init=0,
    )


if __name__ == "__main__":
    turn.main({"cross": cross, "bracket": bracket})
