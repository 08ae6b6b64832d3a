"""Bets on the way back: long where the relative strength index is low, short where it is high."""

from dataclasses import dataclass

from apps.domain.strategies import windows
from apps.domain.strategies.contract import Candles, Stances, Strategy, ordered, parameter


class RsiReversion(Strategy):
    """The relative strength index against two thresholds."""

    name = "rsi_reversion"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Parameters:
        """The length of the index and what counts as low and high."""

        length: int = parameter(14, "Steps the index looks at.", lowest=1, highest=1000)
        low: float = parameter(30.0, "Long below this.", lowest=0.0, highest=100.0)
        high: float = parameter(70.0, "Short above this.", lowest=0.0, highest=100.0)

    def __init__(self, parameters: Parameters) -> None:
        """Raises Refused when low is not below high."""
        ordered(parameters, "low", "high")
        self._parameters = parameters

    @property
    def warmup(self) -> int:
        """One bar more than steps."""
        return self._parameters.length + 1

    def stances(self, candles: Candles) -> Stances:
        """Return the side to bet on where the index is beyond a threshold."""
        index = windows.rsi(candles.close, self._parameters.length)
        return windows.stances(index < self._parameters.low, index > self._parameters.high)
