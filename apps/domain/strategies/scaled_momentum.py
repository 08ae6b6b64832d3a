"""Follows the last move with a weight that is smaller the more the price swings: a worked example of target weights."""

from dataclasses import dataclass

import numpy as np

from apps.domain.strategies import windows
from apps.domain.strategies.contract import Candles, Floats, Stances, Strategy, parameter, sides


class ScaledMomentum(Strategy):
    """The direction of the last move, held in proportion to a target volatility."""

    name = "scaled_momentum"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Parameters:
        """How far back to look, how to measure swings, and how much swing to aim for."""

        lookback: int = parameter(60, "Bars to look back for the direction.", lowest=1, highest=5000)
        length: int = parameter(20, "Bars whose returns measure the volatility.", lowest=2, highest=5000)
        target: float = parameter(0.01, "Standard deviation of a bar's return to aim for.", lowest=1e-06, highest=1.0)

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters

    @property
    def warmup(self) -> int:
        """A return more than bars on either account."""
        return max(self._parameters.lookback, self._parameters.length) + 1

    def weights(self, candles: Candles) -> Floats:
        """Return the direction times target over volatility, 1 at most."""
        direction = np.sign(windows.change(candles.close, self._parameters.lookback))
        swing = np.full(len(direction), np.nan)
        swing[1:] = windows.deviation(windows.change(candles.close, 1)[1:], self._parameters.length)[1]
        # Less than a thousandth of the target is rounding, or so calm that the bound of 1 decides anyway.
        share = np.minimum(self._parameters.target / np.maximum(swing, self._parameters.target / 1000), 1.0)
        found: Floats = np.nan_to_num(direction * share)
        return found

    def stances(self, candles: Candles) -> Stances:
        """Return the side of the weight."""
        return sides(self.weights(candles))
