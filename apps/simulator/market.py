"""How simulated prices move: a seeded walk per product with volatility clusters, jumps, and a spread that follows both.

Time scale: one product's log price has a standard deviation of `SIGMA_SECOND` (0.067 %) in a second at `volatility` 1,
so a single trade moves it by 0.067 % / sqrt(trades per second of that product): about 0.03 % at 5 trades a second,
0.0013 % at 2,500. Median time until a level is crossed at 5 trades a second: 3 s for one 0.1 % away, 9 s for 0.2 %,
19 s for 0.3 %. A pull back to the starting price (half-life 30 minutes) keeps long runs within some 10 % of it.
"""

import math

import numpy as np

from apps.simulator.products import Product, trim

SIGMA_SECOND = 0.00067
MAX_SIGMA_TRADE = 0.002
CLUSTER_SECONDS = 60.0  # how long a calm or a wild spell lasts
CLUSTER_STDEV = 0.5  # of the logarithm of volatility
PULL_HALF_LIFE = 1800.0  # seconds
SECONDS_PER_JUMP = 180.0
JUMP_STDEV = 0.003
MEDIAN_NOTIONAL, NOTIONAL_SPREAD = 250.0, 1.4  # quote units; standard deviation of the logarithm
MEAN_NOTIONAL = MEDIAN_NOTIONAL * math.exp(NOTIONAL_SPREAD**2 / 2)
FIREHOSE_RATE = 1_000.0  # trades per second and product assumed when trades come as fast as possible
BLOCK = 256  # trades whose random numbers are drawn at once

Print = tuple[float, str, float, str, str, str, str, str, str, int]
"""price, its text, size, its text, taker side, bid, bid size, ask, ask size, step of the book sequence"""


class Walk:
    """The price process of one product. Depends on the seed, the product and the settings, never on the clock."""

    def __init__(self, product: Product, *, seed: int, rate: float, volatility: float = 1.0) -> None:
        """`rate` is trades per second of this product, used to scale one trade's move."""
        seconds = 1.0 / max(rate, 1e-6)
        self._rng = np.random.default_rng([seed, product.stream, 1])
        self._x = self._anchor = math.log(float(product.start_price))
        self._h = 0.0
        self._sigma = min(MAX_SIGMA_TRADE, SIGMA_SECOND * math.sqrt(seconds)) * volatility
        self._persistence = math.exp(-seconds / CLUSTER_SECONDS)
        self._innovation = CLUSTER_STDEV * math.sqrt(1.0 - self._persistence**2)
        self._pull = 1.0 - 0.5 ** (seconds / PULL_HALF_LIFE)
        self._jump_chance = min(0.05, seconds / SECONDS_PER_JUMP)
        self._jump_stdev = JUMP_STDEV * volatility
        self._scale = 10.0**product.quote_decimals
        self._price_format = f"%.{product.quote_decimals}f"
        self._lot = 10.0**-product.base_decimals
        self._size_format = f"%.{product.base_decimals}f"
        self._at = BLOCK

    def reset_to(self, price: float) -> None:
        """Let the walk go on from `price`, and be pulled to it from now on."""
        self._x = self._anchor = math.log(price)

    def next(self) -> Print:
        """The next trade of this product."""
        if self._at == BLOCK:
            self._draw()
        i = self._at
        self._at = i + 1
        wildness = self._advance(i)
        fair = math.exp(self._x) * self._scale
        spread = 1 + int(0.1 * self._sigma * wildness * fair)
        bid = max(1, int(fair - 0.5 * spread))
        buy = self._lean[i] < 0.5 + (0.2 if self._move[i] > 0 else -0.2)
        ticks = bid + spread if buy else bid
        price = ticks / self._scale
        size = max(self._lot, self._notional[i] / price)
        size_text = self._size_format % size
        bid_text = self._price_format % (bid / self._scale)
        ask_text = self._price_format % ((bid + spread) / self._scale)
        return (
            price,
            trim(ask_text if buy else bid_text),
            float(size_text),  # as it is told: candles add up what their trades say
            trim(size_text),
            "buy" if buy else "sell",
            bid_text,
            "%.8f" % (size * self._depth[i]),
            ask_text,
            "%.8f" % (size * self._depth[-i]),
            self._steps[i],
        )

    def _advance(self, i: int) -> float:
        """Move the log price by one trade and return how wild the market is now (1 on average)."""
        self._h = self._persistence * self._h + self._innovation * self._cluster[i]
        wildness = math.exp(self._h - 0.5 * CLUSTER_STDEV**2)
        step = self._sigma * wildness * self._move[i]
        if self._luck[i] < self._jump_chance:
            step += self._jump_stdev * self._cluster[-i]
        self._x += step - self._pull * (self._x - self._anchor)
        return wildness

    def _draw(self) -> None:
        rng = self._rng
        self._move: list[float] = rng.standard_normal(BLOCK).tolist()
        self._cluster: list[float] = rng.standard_normal(BLOCK).tolist()
        self._luck: list[float] = rng.random(BLOCK).tolist()
        self._lean: list[float] = rng.random(BLOCK).tolist()
        self._depth: list[float] = rng.lognormal(1.0, 1.0, BLOCK).tolist()
        self._notional: list[float] = (MEDIAN_NOTIONAL * rng.lognormal(0.0, NOTIONAL_SPREAD, BLOCK)).tolist()
        # The book's sequence counts every order event, so between two trades it jumps by 2 to some 2,000.
        self._steps: list[int] = (2 + 1998 * rng.random(BLOCK) ** 4).astype(int).tolist()
        self._at = 0


class Market:
    """All walks together, with a seeded choice of which product trades next."""

    def __init__(self, products: tuple[Product, ...], *, seed: int, rate: float | None, volatility: float) -> None:
        """`rate` is trades per second in total; 0 means as fast as possible, None means scripted trades only."""
        each = FIREHOSE_RATE if rate == 0 else (rate or 40.0) / len(products)
        self.walks = {product.id: Walk(product, seed=seed, rate=each, volatility=volatility) for product in products}
        self._ids = [product.id for product in products]
        self._choice = np.random.default_rng([seed, 2])
        self._gaps = np.random.default_rng([seed, 3])
        self._queue: list[int] = []
        self._waits: list[float] = []

    def choose(self) -> str:
        """The product that trades next."""
        if not self._queue:
            self._queue = self._choice.integers(0, len(self._ids), 1024).tolist()
        return self._ids[self._queue.pop()]

    def wait(self) -> float:
        """Time to the next trade in units of the mean time between trades (exponential)."""
        if not self._waits:
            self._waits = self._gaps.exponential(1.0, 1024).tolist()
        return self._waits.pop()
