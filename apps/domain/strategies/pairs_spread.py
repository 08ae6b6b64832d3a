"""Bets that two prices that move together find back to each other: short the dear one, long the cheap one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apps.domain.strategies import indicators, windows
from apps.domain.strategies.contract import Candles, Floats, Several, ordered, parameter

ROUNDING = 1e-9  # of the logarithm of the ratio: two prices in lockstep differ by less, and give no signal


class PairsSpread(Several):
    """The logarithm of the ratio of two prices, in standard deviations from its mean."""

    name = "pairs_spread"
    fewest = 2
    most = 2

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Parameters:
        """The usual spread, what is unusual, and how long a bet lasts."""

        length: int = parameter(60, "Bars in the mean and the deviation of the spread.", lowest=2, highest=5000)
        exit: float = parameter(0.5, "Deviations at which a bet ends.", lowest=0.0, highest=9.9)
        entry: float = parameter(2.0, "Deviations at which it begins.", lowest=0.1, highest=10.0)
        memory: int = parameter(60, "Bars after which a bet is given up.", lowest=1, highest=5000)

    def __init__(self, parameters: Parameters) -> None:
        """Raises Refused when a bet would end where it begins."""
        ordered(parameters, "exit", "entry")
        self._parameters = parameters

    @property
    def warmup(self) -> int:
        """The oldest bet that still counts needs the usual spread."""
        return self._parameters.length + self._parameters.memory - 1

    def weigh(self, markets: Sequence[Candles]) -> Floats:
        """Return half of the equity long in the cheap one and half short in the dear one; nothing in between."""
        chosen = self._parameters
        spread = np.log(markets[0].close / markets[1].close)
        score = indicators.score(spread, chosen.length, least=ROUNDING)
        cheap = windows.held(score < -chosen.entry, score > -chosen.exit, chosen.memory)
        dear = windows.held(score > chosen.entry, score < chosen.exit, chosen.memory)
        side = windows.settled(windows.stances(cheap, dear), self.warmup).astype(np.float64)
        return np.column_stack([side, -side]) / 2.0
