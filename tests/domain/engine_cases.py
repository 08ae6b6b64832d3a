"""Random markets, stances and conventions for tests of the engine, and how a run is laid beside the slow model."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

from apps.domain.backtests import engine
from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.result import Reason, Result
from apps.domain.strategies.contract import Candles, ExitPlan
from tests.domain.slow_backtest import Slow
from tests.domain.slow_position import Bar

CLOSE = 1e-9  # relative: sums of the same numbers in another order
HOUR = 3600
EXACT = ("instrument", "side", "entry_bar", "exit_bar", "ambiguous")
NEAR = ("entry_price", "exit_price", "size", "entry_fee", "exit_fee", "carry", "pnl")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run: everything it is given."""

    conventions: Conventions
    markets: list[Candles]
    stances: list[np.ndarray[Any, Any]]
    warmup: int = 0
    plan: ExitPlan | None = None
    detail: Candles | None = None
    funding: np.ndarray[Any, Any] | None = None

    def result(self) -> Result:
        return engine.run(
            self.markets,
            np.stack(self.stances, axis=1),
            self.conventions,
            warmup=self.warmup,
            plan=self.plan,
            detail=self.detail,
            funding=self.funding,
        )

    def slow(self, num: Any = float) -> Slow:
        plans = funding = finer = None
        if self.plan:
            columns = [np.atleast_2d(part.T) for part in self.plan]
            plans = [
                [tuple(None if np.isnan(x) else num(repr(float(x))) for x in row) for row in zip(*parts, strict=True)]
                for parts in zip(*columns, strict=True)
            ]
        if self.funding is not None:
            funding = [[num(repr(float(x))) for x in self.funding] for _ in self.markets]
        if self.detail:
            bars = bars_of(self.detail, num)
            edges = [*self.markets[0].at.tolist(), float("inf")]
            finer = [[bar for bar in bars if since <= bar.at < until] for since, until in pairwise(edges)]
        return Slow(
            c=self.conventions.as_json(),
            markets=[bars_of(market, num) for market in self.markets],
            stances=[[int(x) for x in column] for column in self.stances],
            warmup=self.warmup,
            plans=plans,
            detail=finer,
            funding=funding,
            num=num,
        ).run()


def bars_of(candles: Candles, num: Any = float) -> list[Bar]:
    columns = [[num(repr(float(x))) for x in column] for column in candles[1:]]
    return [Bar(int(at), *row) for at, *row in zip(candles.at, *columns, strict=True)]


def candles(seed: int, bars: int, *, step: int = HOUR, wild: float = 0.01, start: float = 100.0) -> Candles:
    """Return a random walk on a grid of cents, with gaps, and bars wide enough to hold several levels."""
    draw = np.random.default_rng(seed)
    close = start * np.exp(np.cumsum(draw.normal(0, wild, bars)))
    opened = np.concatenate([[start], close[:-1]]) * np.exp(draw.normal(0, wild / 2, bars))
    high = np.maximum(opened, close) * np.exp(np.abs(draw.normal(0, wild, bars)))
    low = np.minimum(opened, close) * np.exp(-np.abs(draw.normal(0, wild, bars)))
    rounded = [np.round(values, 2) for values in (opened, high, low, close)]
    at = 1_700_000_000 // HOUR * HOUR + step * np.arange(bars, dtype=np.int64)
    return Candles(at, *rounded, np.round(draw.uniform(500, 5000, bars), 1))


def finer(coarse: Candles, seed: int, parts: int = 4) -> Candles:
    """Return candles that lie inside those of `coarse` and add up to them."""
    draw, rows = np.random.default_rng(seed), []
    for at, o, h, low, c, volume in zip(*coarse, strict=True):
        path = np.round(draw.uniform(low, h, parts + 1), 2)
        path[0], path[-1] = o, c
        spots = np.sort(draw.choice(parts, 2, replace=False))
        for i in range(parts):
            top, bottom = max(path[i : i + 2]), min(path[i : i + 2])
            top, bottom = (h if i == spots[0] else top), (low if i == spots[1] else bottom)
            rows.append((at + i * (HOUR // parts), path[i], top, bottom, path[i + 1], volume / parts))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Candles(columns[0].astype(np.int64), *columns[1:])


def stances(seed: int, bars: int, *, pace: float = 0.2) -> np.ndarray[Any, Any]:
    """Return stances that keep for some bars and then turn, with flat ones between."""
    draw = np.random.default_rng(seed)
    turns = draw.random(bars) < pace
    return np.array([-1, 0, 1], np.int8)[draw.integers(0, 3, bars)[np.maximum.accumulate(np.arange(bars) * turns)]]


def maybe(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, *values])


LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "max_order_value": st.sampled_from([30_123.0, 90_123.0]),
        "max_position_size": st.sampled_from([150.5, 800.5]),
        "max_open_positions": st.sampled_from([1, 2]),
        "max_gross_exposure": st.sampled_from([0.513, 0.97]),
        "leverage": st.sampled_from([0.5, 2.0]),
        "max_daily_loss": st.sampled_from([0.00513, 0.0313]),
        "max_drawdown": st.sampled_from([0.0517, 0.21]),
        "max_loss_streak": st.sampled_from([1, 3]),
        "cooldown": st.sampled_from([1, 7]),
        "close_on_breach": st.booleans(),
    },
)
SIZINGS = st.sampled_from(
    [("all-in", 0.0)] * 3
    + [("fixed", 37.0), ("notional", 40_000.0), ("percent", 0.31), ("percent", 1.0)]
    + [("risk", 0.0123), ("volatility", 0.004)]
)
SLIPPAGES = st.sampled_from(
    [("none", 0.0)] * 2 + [("percent", 0.0007), ("fixed", 0.013), ("spread", 0.0011), ("volume-share", 0.11)]
)
PLAIN = st.fixed_dictionaries(
    {
        "sides": st.sampled_from(["long", "short", "both"]),
        "entries": st.sampled_from(["change", "level", "cross"]),
        "exit_on_signal": st.booleans(),
        "fill": st.sampled_from(["next-open", "close"]),
        "same_bar_reentry": st.booleans(),
        "units": st.sampled_from(["whole", "fractional", "lots"]),
        "lot_size": st.just(0.25),
        "size_fee": st.booleans(),
        "fee_rate": st.sampled_from([0.0, 0.002]),
        "fee_fixed": st.sampled_from([0.0, 1.5]),
        "round_fee": maybe(2),
        "stop_loss": maybe(0.02, 0.0137),
        "take_profit": maybe(0.04, 0.0211),
        "base": st.sampled_from(["fill", "signal"]),
        "entry_bar": st.booleans(),
        "order": st.sampled_from(["sl", "tp", "adaptive"]),
        "open_first": st.booleans(),
        "gap_sl": st.sampled_from(["open", "level", "clamp"]),
        "gap_tp": st.sampled_from(["open", "level", "clamp"]),
        "tp_net": st.booleans(),
        "round_px": maybe(2, 1),
        "end": st.sampled_from(["mark", "mark-open", "close", "open"]),
        "time_stop": maybe(1, 5),
        "maker_rate": maybe(0.0003),
    }
)
RICH = st.fixed_dictionaries(
    {
        "trailing_stop": maybe(0.0173),
        "trailing_activation": maybe(0.0091),
        "break_even": maybe(0.0111),
        "break_even_offset": st.sampled_from([0.0, 0.0013]),
        "partial_exits": st.sampled_from([(), ((0.0121, 0.5),), ((0.0121, 0.3), (0.0077, 0.33))]),
        "borrow_rate": st.sampled_from([0.0, 0.35]),
        "funding_rate": st.sampled_from([0.0, 0.0011, -0.0007]),
        "limits": LIMITS,
    }
)


@st.composite
def conventions(draw: st.DrawFn, *, rich: bool) -> Conventions:
    (sizing, size), (slippage, value) = draw(SIZINGS), draw(SLIPPAGES)
    chosen = draw(PLAIN) | (draw(RICH) if rich else {})
    named = {"sizing": sizing, "size": size, "slippage": slippage, "slippage_value": value, "volatility_bars": 5}
    return Conventions.restored({**chosen, **named})


@st.composite
def cases(draw: st.DrawFn, *, rich: bool, most: int = 1) -> Case:
    """Draw a run; a rich one may have several instruments, a plan, finer candles and a funding rate per bar."""
    seed, bars = draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 90))
    count = draw(st.integers(1, most)) if rich else 1
    wild = draw(st.sampled_from([0.004, 0.012]))
    markets = [candles(seed + k, bars, wild=wild, start=50.0 + 50 * k) for k in range(count)]
    more: dict[str, Any] = {}
    if rich:
        if draw(st.booleans()):
            more["plan"] = plan(markets, seed)
        if count == 1 and bars and draw(st.booleans()):
            more["detail"] = finer(markets[0], seed)
        if draw(st.booleans()):
            more["funding"] = np.random.default_rng(seed).normal(0, 1e-4, bars)
    return Case(
        conventions=draw(conventions(rich=rich)),
        markets=markets,
        stances=[stances(seed + k, bars) for k in range(count)],
        warmup=draw(st.integers(0, 25)),
        **more,
    )


WEIGHTED = st.fixed_dictionaries(
    {
        "sides": st.sampled_from(["long", "both", "short"]),
        "entries": st.sampled_from(["change", "level"]),
        "fill": st.sampled_from(["next-open", "close"]),
        "units": st.sampled_from(["whole", "fractional", "lots"]),
        "lot_size": st.just(0.25),
        "size_fee": st.booleans(),
        "fee_rate": st.sampled_from([0.0, 0.002]),
        "fee_fixed": st.sampled_from([0.0, 1.5]),
        "round_fee": maybe(2),
        "end": st.sampled_from(["mark", "mark-open", "close", "open"]),
        "borrow_rate": st.sampled_from([0.0, 0.35]),
        "funding_rate": st.sampled_from([0.0, 0.0011]),
        "limits": LIMITS,
    }
)


@st.composite
def weighted(draw: st.DrawFn) -> tuple[Conventions, list[Candles], np.ndarray[Any, Any], int]:
    """Draw conventions, up to three markets, target weights that change now and then, and a warm-up."""
    seed, bars, count = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 60)), draw(st.integers(1, 3))
    slippage, value = draw(SLIPPAGES)
    named = {"slippage": slippage, "slippage_value": value}
    markets = [candles(seed + k, bars, wild=0.012, start=50.0 + 50 * k) for k in range(count)]
    generator = np.random.default_rng(seed)
    weights = generator.choice([0.0, 0.2, 0.31, 0.5, 1.0, -0.3, np.nan], (bars, count))
    for t in range(1, bars):
        if generator.random() < 0.6:
            weights[t] = weights[t - 1]
    return Conventions.restored({**draw(WEIGHTED), **named}), markets, weights, draw(st.integers(0, 5))


def plan(markets: list[Candles], seed: int) -> ExitPlan:
    """Return levels around the closes, about a third of them missing, for either side."""
    draw = np.random.default_rng(seed)
    closes = np.stack([market.close for market in markets], axis=1)
    stops, targets = (closes * draw.choice(rates, closes.shape) for rates in ([0.98, 1.02], [0.97, 1.03]))
    parts = [stops, targets, closes * 0.015]
    return ExitPlan(*(np.where(draw.random(closes.shape) < 0.33, np.nan, part) for part in parts))


def assert_same(result: Result, slow: Slow, *, near: float = CLOSE) -> None:
    """Compare trade by trade, bar by bar, reason by reason."""
    trades = result.trades
    given = [Reason(code).label for code in trades.reason]
    assert given == [each["reason"] for each in slow.trades]
    for name in EXACT:
        assert getattr(trades, name).tolist() == [each[name] for each in slow.trades], name
    for name in NEAR:
        wanted = np.array([float(each[name]) for each in slow.trades])
        scale = np.array([float(each["size"] * each["entry_price"]) for each in slow.trades]) if name == "pnl" else 0.0
        assert np.all(np.abs(getattr(trades, name) - wanted) <= near * np.maximum(np.abs(wanted), scale) + 1e-9), name
    assert np.allclose(result.equity, np.array([float(x) for x in slow.equity]), rtol=near, atol=1e-6)
    assert dict(result.rejected) == dict(slow.rejected)
    assert result.ambiguous_bars == slow.ambiguous
    held = slow.holdings()
    assert [(each.instrument, each.side, each.entry_bar) for each in result.open] == held
