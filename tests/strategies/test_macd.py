"""The difference of two exponential means against its own mean."""

import pytest

from tests.strategies import bars, promises
from tests.strategies.promises import make


def test_a_move_that_gains_speed_is_followed_and_one_that_loses_it_is_not() -> None:
    strategy = make("macd", fast=1, slow=2, signal=2)
    assert strategy.warmup == 37
    # slow: 12, 13.33, 13.78, 13.26; difference: 1, 0.67, 0.22, -0.26; its mean: 0.67, 0.67 - a hair, 0.37, -0.05
    closes = [10.0] * 40 + [13, 14.1, 14, 13]
    assert strategy.stances(bars.of_closes(*closes)).tolist() == [0] * 40 + [1, 1, -1, -1]


@pytest.mark.parametrize("values", [{"fast": 1, "slow": 2, "signal": 2}, {"fast": 3, "slow": 6, "signal": 4}])
def test_it_keeps_its_promises_at_every_bar(values: dict[str, float]) -> None:
    strategy = make("macd", **values)
    promises.holds_at_every_bar(strategy, promises.markets_for(strategy, strategy.warmup + 150, seed=21))
