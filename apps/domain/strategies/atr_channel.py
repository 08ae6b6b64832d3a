"""Goes with a move out of Keltner's channel and plans its own ways out, in average true ranges: a worked example."""

from dataclasses import dataclass

import numpy as np

from apps.domain.strategies import indicators, windows
from apps.domain.strategies.contract import Candles, ExitPlan, Floats, Stances, Strategy, parameter


class AtrChannel(Strategy):
    """Closes outside of a channel of average true ranges, with stop, target and trailing stop in the same measure."""

    name = "atr_channel"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Parameters:
        """The channel, how long a breakout counts, and the ways out; 0 switches a way out off."""

        length: int = parameter(20, "Bars of the exponential mean.", lowest=1, highest=1000)
        atr: int = parameter(10, "Bars of the average true range.", lowest=1, highest=500, title="ATR")
        width: float = parameter(2.0, "Average true ranges between mean and band.", lowest=0.1, highest=20.0)
        memory: int = parameter(100, "Bars after which a breakout is forgotten.", lowest=1, highest=5000)
        stop: float = parameter(3.0, "Average true ranges from the close to the stop.", lowest=0.0, highest=50.0)
        target: float = parameter(0.0, "Average true ranges from the close to the target.", lowest=0.0, highest=50.0)
        trailing: float = parameter(0.0, "Average true ranges a trailing stop stays behind.", lowest=0.0, highest=50.0)

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters

    @property
    def warmup(self) -> int:
        """The oldest breakout that still counts needs a full channel."""
        full = max(indicators.ema_bars(self._parameters.length), indicators.atr_bars(self._parameters.atr))
        return full + self._parameters.memory - 1

    def stances(self, candles: Candles) -> Stances:
        """Return the side of the last breakout until the close is back across the mean."""
        chosen = self._parameters
        channel = indicators.keltner(candles, chosen.length, chosen.atr, chosen.width)
        return windows.settled(indicators.breakout(candles.close, channel, chosen.memory), self.warmup)

    def exit_plan(self, candles: Candles) -> ExitPlan:
        """Return stop and target around the close, and the distance of a trailing stop, as multiples of the range."""
        side = self.stances(candles).astype(np.float64)
        side[side == 0] = np.nan
        span = indicators.atr(candles, self._parameters.atr)
        return ExitPlan(
            stop_loss=candles.close - side * _distance(span, self._parameters.stop),
            take_profit=candles.close + side * _distance(span, self._parameters.target),
            trailing_distance=np.abs(side) * _distance(span, self._parameters.trailing),
        )


def _distance(span: Floats, times: float) -> Floats:
    return span * (times or np.nan)
