"""Holds the strongest of several instruments: those that rose most, a part of the book renewed at every bar."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apps.domain.strategies import windows
from apps.domain.strategies.contract import Candles, Floats, Several, parameter


class MomentumRotation(Several):
    """The instruments with the largest rise; long only, in cash as far as fewer than `top` have risen."""

    name = "momentum_rotation"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Parameters:
        """How far back to look, how many to hold, and how long a choice stays in the book."""

        lookback: int = parameter(60, "Bars over which the rise is measured.", lowest=1, highest=5000)
        top: int = parameter(3, "Instruments to hold at once.", lowest=1, highest=100)
        hold: int = parameter(20, "Bars that a choice stays; one part of so many is renewed.", lowest=1, highest=1000)

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters

    @property
    def warmup(self) -> int:
        """The oldest choice in the book needs its look back."""
        return self._parameters.lookback + self._parameters.hold

    def weigh(self, markets: Sequence[Candles]) -> Floats:
        """Return the mean of the last `hold` choices, each of which gives 1 / top to each of the strongest."""
        chosen = self._parameters
        rises = np.column_stack([windows.change(market.close, chosen.lookback) for market in markets])
        # Of equal rises the instrument named first wins, so that a choice never depends on chance.
        ranks = np.argsort(np.argsort(-rises, axis=1, kind="stable"), axis=1, kind="stable")
        held = ((ranks < chosen.top) & (rises > 0.0)).astype(np.float64)
        times = np.column_stack([windows.total(column, chosen.hold) for column in held.T])
        times[: self.warmup - 1] = 0.0
        return times / (chosen.hold * chosen.top)
