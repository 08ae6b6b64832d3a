"""Follows like the Turtles: long from a close above the highest high of so many bars until one below a shorter low."""

from dataclasses import dataclass

from apps.domain.strategies import indicators, windows
from apps.domain.strategies.contract import Candles, Stances, Strategy, ordered, parameter


class Donchian(Strategy):
    """Closes outside of the channel of highs and lows, held until a shorter channel is left on the other side."""

    name = "donchian"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Parameters:
        """The channel to break out of, the one to leave by, and how long a breakout counts."""

        exit: int = parameter(10, "Bars in the channel that ends a stance.", lowest=1, highest=4999)
        entry: int = parameter(20, "Bars in the channel that begins one.", lowest=2, highest=5000)
        memory: int = parameter(100, "Bars after which a breakout is forgotten.", lowest=1, highest=5000)

    def __init__(self, parameters: Parameters) -> None:
        """Raises Refused when the channel that ends a stance is not the shorter one."""
        ordered(parameters, "exit", "entry")
        self._parameters = parameters

    @property
    def warmup(self) -> int:
        """The oldest breakout that still counts, and the channel before it."""
        return self._parameters.entry + self._parameters.memory

    def stances(self, candles: Candles) -> Stances:
        """Return the side of the last breakout until the close leaves the shorter channel on the other side."""
        wide, narrow = (self._sides(candles, length) for length in (self._parameters.entry, self._parameters.exit))
        longs = windows.held(wide > 0, narrow < 0, self._parameters.memory)
        shorts = windows.held(wide < 0, narrow > 0, self._parameters.memory)
        return windows.settled(windows.stances(longs, shorts), self.warmup)

    def _sides(self, candles: Candles, length: int) -> Stances:
        """Return on which side of the channel of the bars before it a bar closes; 0 inside."""
        channel = indicators.donchian(candles, length)
        above = windows.cross(candles.close, windows.before(channel.upper)) > 0
        return windows.stances(above, windows.cross(candles.close, windows.before(channel.lower)) < 0)
