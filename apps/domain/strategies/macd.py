"""Follows a trend that gains speed: long while the difference of two exponential means is above its own mean."""

from dataclasses import dataclass

from apps.domain.strategies import indicators, windows
from apps.domain.strategies.contract import Candles, Stances, Strategy, ordered, parameter


class MacdTrend(Strategy):
    """Moving average convergence and divergence, against its signal line."""

    name = "macd"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Parameters:
        """The lengths of the three means."""

        fast: int = parameter(12, "Bars of the fast mean.", lowest=1, highest=500)
        slow: int = parameter(26, "Bars of the slow mean; more than of the fast one.", lowest=2, highest=1000)
        signal: int = parameter(9, "Bars of the mean of the difference.", lowest=1, highest=500)

    def __init__(self, parameters: Parameters) -> None:
        """Raises Refused when the fast mean is not the shorter one."""
        ordered(parameters, "fast", "slow")
        self._parameters = parameters

    @property
    def warmup(self) -> int:
        """The slow mean, and the signal line over its values, must have forgotten where they began."""
        return indicators.macd_bars(self._parameters.fast, self._parameters.slow, self._parameters.signal)

    def stances(self, candles: Candles) -> Stances:
        """Return the side on which the difference stands of its mean; flat where the two are equal."""
        chosen = self._parameters
        found = indicators.macd(candles.close, chosen.fast, chosen.slow, chosen.signal)
        # The rounding of the difference is that of the two means, so the close is the measure of what is equal.
        return windows.cross(found.line, found.signal, candles.close)
