"""The numbers of the slow backtest: what a level, a fill, a fee and a size are by the text of the conventions."""

import math
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

from tests.domain.slow_position import Bar, Number, settled


class Figures:
    """Levels, fills, fees and sizes by the conventions `c`, in numbers made by `num`."""

    c: dict[str, Any]
    limits: dict[str, Any]
    markets: list[list[Bar]]
    num: Callable[[str], Number]

    def n(self, name: str) -> Number:
        """Return a convention as a number."""
        return self.num(repr(self.c[name]))

    def level(self, base: Number, side: int, name: str, sign: int) -> Number | None:
        return None if self.c[name] is None else settled(base * (1 + side * sign * self.n(name)))

    def netted(self, side: int, base: Number, rate: Number) -> Number:
        level, fee = settled(base * (1 + side * rate)), self.n("fee_rate")
        if not self.c["tp_net"]:
            return level
        return level * (1 + fee) / (1 - fee) if side > 0 else level * (1 - fee) / (1 + fee)

    def trail(self, side: int, distance: Number | None) -> Callable[[Number], Number] | None:
        if distance is not None:
            return lambda best: best - side * distance
        if self.c["trailing_stop"] is None:
            return None
        return lambda best: best - best * self.n("trailing_stop") * side

    def slipped(self, sign: int, price: Number, size: Number, volume: Number) -> Number:
        kind, value = self.c["slippage"], self.n("slippage_value")
        if kind == "volume-share":
            share = min(size / volume, self.num("1")) if volume else self.num("1")
            value = value * share * share
        distance = {"none": 0, "fixed": value, "spread": price * (value / 2)}.get(kind, price * value)
        return max(price + sign * distance, self.num("0"))

    def fee(self, size: Number, price: Number, rate: Number) -> Number:
        return self.rounded(price * size * rate + self.n("fee_fixed"), "round_fee")

    def rounded(self, value: Number | None, name: str) -> Number | None:
        digits = self.c[name]
        if digits is None or value is None:
            return value
        exact = value if isinstance(value, Decimal) else Decimal(f"{value:.15g}")
        step = Decimal(1).scaleb(-digits)
        return self.num(str(exact.quantize(step, "ROUND_HALF_UP")))

    def lot(self) -> Number:
        return {"whole": self.num("1"), "lots": self.n("lot_size"), "fractional": 0}[self.c["units"]]

    def floored(self, size: Number) -> Number:
        lot = self.lot()
        if not lot:
            return size
        steps = size / lot
        near = round(steps)
        return (near if 0 <= near - steps <= steps * self.num("1e-12") else math.floor(steps)) * lot

    def deviation(self, k: int, d: int) -> Number | None:
        span = self.c["volatility_bars"]
        if d < span:
            return None
        closes = [bar.close for bar in self.markets[k][d - span : d + 1]]
        moves = [after / before - 1 for before, after in pairwise(closes)]
        mean = sum(moves) / span
        variance = sum((move - mean) ** 2 for move in moves) / (span - 1)
        return variance ** self.num("0.5") or None

    def leverage(self) -> Number:
        return self.num(repr(self.limits["leverage"] or 1.0))
