"""Goes with a move that is larger than usual: long from a close above the upper band until one below the mean."""

from dataclasses import dataclass

from apps.domain.strategies import indicators, windows
from apps.domain.strategies.contract import Candles, Stances, Strategy, parameter


class BollingerBreakout(Strategy):
    """Closes outside of Bollinger's bands, held until the mean is crossed."""

    name = "bollinger_breakout"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Parameters:
        """The bands, and how long a breakout counts."""

        length: int = parameter(20, "Bars in the mean and the deviation.", lowest=2, highest=5000)
        width: float = parameter(2.0, "Standard deviations between mean and band.", lowest=0.1, highest=10.0)
        memory: int = parameter(100, "Bars after which a breakout is forgotten.", lowest=1, highest=5000)

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters

    @property
    def warmup(self) -> int:
        """The oldest breakout that still counts needs full bands."""
        return self._parameters.length + self._parameters.memory - 1

    def stances(self, candles: Candles) -> Stances:
        """Return the side of the last breakout until the close is back across the mean."""
        bands = indicators.bollinger(candles.close, self._parameters.length, self._parameters.width)
        found = indicators.breakout(candles.close, bands, self._parameters.memory)
        return windows.settled(found, self.warmup)
