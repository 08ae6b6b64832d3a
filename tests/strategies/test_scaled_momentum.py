"""The last move with a weight that shrinks as the price swings."""

import pytest

from tests.strategies import bars, promises
from tests.strategies.promises import make


def test_the_weight_is_target_over_volatility() -> None:
    strategy = make("scaled_momentum", lookback=1, length=2, target=0.01)
    # returns 10 %, 6 %, -2 %, -2 %: deviations of two 2 %, 4 %, 0 (then everything)
    candles = bars.of_closes(100, 110, 116.6, 114.268, 111.98264)
    weights = strategy.weights(candles)
    assert weights is not None
    assert weights.tolist() == pytest.approx([0, 0, 0.5, -0.25, -1.0])
    assert strategy.stances(candles).tolist() == [0, 0, 1, -1, -1]


@pytest.mark.parametrize("values", [{"lookback": 3, "length": 5}, {"lookback": 9, "length": 2, "target": 0.5}])
def test_it_keeps_its_promises_at_every_bar(values: dict[str, float]) -> None:
    strategy = make("scaled_momentum", **values)
    promises.holds_at_every_bar(strategy, promises.markets_for(strategy, strategy.warmup + 150, seed=21))
