"""Bets on the way back to the mean price paid: long from a close well below it until one at it, short the other way."""

from dataclasses import dataclass

from apps.domain.strategies import indicators, windows
from apps.domain.strategies.contract import Candles, Stances, Strategy, parameter


class VwapReversion(Strategy):
    """The close against the volume-weighted average price of the last bars."""

    name = "vwap_reversion"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Parameters:
        """The average, what counts as far from it, and how long a bet lasts."""

        length: int = parameter(50, "Bars in the average.", lowest=2, highest=5000)
        band: float = parameter(
            0.01, "Rate from the average that opens a bet; 0.01 is 1 %.", lowest=0.0001, highest=0.9
        )
        memory: int = parameter(50, "Bars after which a bet is given up.", lowest=1, highest=5000)

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters

    @property
    def warmup(self) -> int:
        """The oldest bet that still counts needs a full average."""
        return self._parameters.length + self._parameters.memory - 1

    def stances(self, candles: Candles) -> Stances:
        """Return the side to bet on from where the close is far from the average until it is back."""
        chosen, average = self._parameters, indicators.vwap(candles, self._parameters.length)
        side = windows.cross(candles.close, average)
        longs = windows.held(candles.close < average * (1.0 - chosen.band), side >= 0, chosen.memory)
        shorts = windows.held(candles.close > average * (1.0 + chosen.band), side <= 0, chosen.memory)
        return windows.settled(windows.stances(longs, shorts), self.warmup)
