"""Buys at the first bar and keeps it: what every other strategy should be compared with."""

from dataclasses import dataclass

import numpy as np

from apps.domain.strategies.contract import LONG, Candles, Floats, Stances, Strategy


class BuyAndHold(Strategy):
    """Always long, with everything."""

    name = "buy_and_hold"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Parameters:
        """Nothing to choose."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters

    @property
    def warmup(self) -> int:
        """Any bar will do."""
        return 1

    def stances(self, candles: Candles) -> Stances:
        """Return long."""
        return np.full(len(candles.close), LONG, np.int8)

    def weights(self, candles: Candles) -> Floats:
        """Return everything: a weight needs no change of stance to be bought."""
        return np.ones(len(candles.close))
