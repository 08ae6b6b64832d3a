"""Follows the last move: long after a rise over so many bars, short after a fall."""

from dataclasses import dataclass

from apps.domain.strategies import windows
from apps.domain.strategies.contract import Candles, Stances, Strategy, parameter


class Momentum(Strategy):
    """The rate of change of the close against a threshold."""

    name = "momentum"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Parameters:
        """How far back to look, and what counts as a move."""

        lookback: int = parameter(10, "Bars to look back.", lowest=1, highest=5000)
        threshold: float = parameter(0.0, "Rate that the move must exceed; 0.01 is 1 %.", lowest=0.0, highest=1.0)

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters

    @property
    def warmup(self) -> int:
        """The bar itself and those it is compared across."""
        return self._parameters.lookback + 1

    def stances(self, candles: Candles) -> Stances:
        """Return the direction of the move where it exceeds the threshold."""
        moved = windows.change(candles.close, self._parameters.lookback)
        return windows.stances(moved > self._parameters.threshold, moved < -self._parameters.threshold)
