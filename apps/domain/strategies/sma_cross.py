"""Follows the trend: long while the fast mean of closes is above the slow one, short while it is below."""

from dataclasses import dataclass
from types import MappingProxyType

from apps.domain.strategies import windows
from apps.domain.strategies.contract import Candles, Stances, Strategy, ordered, parameter


class SmaCross(Strategy):
    """Two simple moving averages and which of them is above."""

    name = "sma_cross"
    # A cross leads from one side to the other: two means that meet and part again have not crossed.
    usual = MappingProxyType({"entries": "cross"})

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Parameters:
        """The lengths of the two means."""

        fast: int = parameter(10, "Bars in the fast mean.", lowest=1, highest=1000)
        slow: int = parameter(20, "Bars in the slow mean; more than in the fast one.", lowest=2, highest=5000)

    def __init__(self, parameters: Parameters) -> None:
        """Raises Refused when the fast mean is not the shorter one."""
        ordered(parameters, "fast", "slow")
        self._parameters = parameters

    @property
    def warmup(self) -> int:
        """The slow mean must be full."""
        return self._parameters.slow

    def stances(self, candles: Candles) -> Stances:
        """Return the side on which the fast mean stands; flat where the two are equal."""
        return windows.means_cross(candles.close, self._parameters.fast, self._parameters.slow)
