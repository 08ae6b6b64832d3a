"""What every strategy promises, as checks that any of its configurations must pass."""

from collections.abc import Iterable, Sequence

import numpy as np

from apps.domain.strategies import contract
from apps.domain.strategies.contract import Candles, Several, Strategy
from apps.domain.strategies.registry import STRATEGIES
from tests.strategies import bars


def make(name: str, **values: object) -> Strategy:
    return contract.build(STRATEGIES.get(name), values)


def markets_for(strategy: Strategy, count: int, seed: int = 7) -> list[Candles]:
    """Return as many markets as a strategy wants, one or a few."""
    if isinstance(strategy, Several):
        return bars.markets(count, min(max(strategy.fewest, 4), strategy.most), seed)
    return [bars.market(count, seed)]


def said(strategy: Strategy, markets: Sequence[Candles]) -> dict[str, np.ndarray]:
    """Return everything a strategy says of each bar, by name."""
    if isinstance(strategy, Several):
        return {"weights": strategy.weights_of(markets)}
    (candles,) = markets
    found: dict[str, np.ndarray] = {"stances": strategy.stances(candles)}
    weights, plan = strategy.weights(candles), strategy.exit_plan(candles)
    if weights is not None:
        found["weights"] = weights
    return found if plan is None else found | plan._asdict()


def has_the_right_shape(strategy: Strategy, markets: Sequence[Candles]) -> None:
    count = len(markets[0].at)
    for name, values in said(strategy, markets).items():
        assert len(values) == count, name
        if name == "stances":
            assert values.dtype == np.int8, f"stances are {values.dtype}"
            assert set(values.tolist()) <= {-1, 0, 1}, f"stances are {set(values.tolist())}"
        else:
            assert values.dtype == np.float64, name
        if name == "weights":
            assert np.isfinite(values).all()
            assert (np.abs(values) <= 1).all()
        if name in ("stances", "weights"):
            assert not values[: strategy.warmup - 1].any(), f"{name} before the warm-up"


def sees_no_later_bar(strategy: Strategy, markets: Sequence[Candles], cuts: Iterable[int]) -> None:
    """Compare to the last bit: a backtest is not to depend on where the history ends."""
    whole = said(strategy, markets)
    for cut in cuts:
        part = said(strategy, parts(markets, slice(cut)))
        for name, values in whole.items():
            np.testing.assert_array_equal(part[name], values[:cut], f"{name} up to bar {cut}")


def needs_no_more_than_the_warmup(strategy: Strategy, markets: Sequence[Candles], ends: Iterable[int]) -> None:
    """Compare to the last bit: a live run over a short window is to say what a backtest over years says."""
    whole = said(strategy, markets)
    for end in ends:
        part = said(strategy, parts(markets, slice(end - strategy.warmup, end)))
        for name, values in whole.items():
            np.testing.assert_array_equal(part[name][-1], values[end - 1], f"{name} of bar {end - 1}")


def holds_at_every_bar(strategy: Strategy, markets: Sequence[Candles]) -> None:
    """Check shape, causality and warm-up on every bar there is."""
    count = len(markets[0].at)
    assert strategy.warmup < count, "a history without a bar after the warm-up shows nothing"
    has_the_right_shape(strategy, markets)
    sees_no_later_bar(strategy, markets, range(1, count))
    needs_no_more_than_the_warmup(strategy, markets, range(strategy.warmup, count + 1))


def parts(markets: Sequence[Candles], span: slice) -> list[Candles]:
    return [bars.part(candles, span) for candles in markets]
