"""The bars and positions of the slow backtest, on any number type."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Number = Any


@dataclass
class Bar:
    at: int
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number


@dataclass
class Position:
    side: int
    size: Number
    opened: Number
    entry: Number
    entry_bar: int
    fee: Number
    stop: Number | None
    target: Number | None
    steps: list[tuple[Number, Number]]  # partial exits still ahead: level, share of what was opened
    trail: Callable[[Number], Number] | None
    trail_wake: Number | None
    even_wake: Number | None
    even: Number | None
    best: Number
    carry: Number = 0

    def good(self, price: Number, level: Number) -> bool:
        return price >= level if self.side > 0 else price <= level

    def bad(self, price: Number, level: Number) -> bool:
        return price <= level if self.side > 0 else price >= level

    def guard(self) -> tuple[Number | None, str]:
        """Return the protecting level nearest to the price, and its name."""
        candidates = []
        if self.stop is not None:
            candidates.append((self.stop, "stop_loss"))
        if self.even_wake is not None and self.good(self.best, self.even_wake):
            candidates.append((self.even, "break_even"))
        if self.trail and (self.trail_wake is None or self.good(self.best, self.trail_wake)):
            candidates.append((self.trail(self.best), "trailing_stop"))
        if not candidates:
            return None, ""
        # max and min keep the first of equals: the stop loss, then break-even, then the trailing stop
        return (max if self.side > 0 else min)(candidates, key=lambda each: each[0])


def settled(level: Number) -> Number:
    """Return a level as it is written with 14 digits: floats only come near to what a Decimal gives."""
    return level if isinstance(level, Decimal) else float(f"{level:.13e}")
