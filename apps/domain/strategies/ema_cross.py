"""Follows the trend sooner: long while the fast exponential mean of closes is above the slow one, short while below."""

from dataclasses import dataclass

from apps.domain.strategies import indicators, windows
from apps.domain.strategies.contract import Candles, Stances, Strategy, ordered, parameter


class EmaCross(Strategy):
    """Two exponential moving averages and which of them is above."""

    name = "ema_cross"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Parameters:
        """The lengths of the two means."""

        fast: int = parameter(12, "Bars of the fast mean.", lowest=1, highest=1000)
        slow: int = parameter(26, "Bars of the slow mean; more than of the fast one.", lowest=2, highest=1000)

    def __init__(self, parameters: Parameters) -> None:
        """Raises Refused when the fast mean is not the shorter one."""
        ordered(parameters, "fast", "slow")
        self._parameters = parameters

    @property
    def warmup(self) -> int:
        """The slow mean must have forgotten where it began."""
        return indicators.ema_bars(self._parameters.slow)

    def stances(self, candles: Candles) -> Stances:
        """Return the side on which the fast mean stands; flat where the two are equal."""
        slow = indicators.ema(candles.close, self._parameters.slow)
        return windows.cross(indicators.ema(candles.close, self._parameters.fast), slow)
