"""Two exponential means: who is above."""

import pytest

from tests.strategies import bars, promises
from tests.strategies.promises import make


def test_the_side_is_that_of_the_fast_mean() -> None:
    strategy = make("ema_cross", fast=1, slow=2)
    assert strategy.warmup == 19, "a third to the power of 19 is the first below a billionth"
    # fast is the close; slow moves two thirds of the way to it: 12, then 11.33, then 11.78
    closes = [10.0] * 20 + [13, 11, 12]
    assert strategy.stances(bars.of_closes(*closes)).tolist() == [0] * 20 + [1, -1, 1]


@pytest.mark.parametrize("values", [{"fast": 1, "slow": 2}, {"fast": 5, "slow": 12}])
def test_it_keeps_its_promises_at_every_bar(values: dict[str, float]) -> None:
    strategy = make("ema_cross", **values)
    promises.holds_at_every_bar(strategy, promises.markets_for(strategy, strategy.warmup + 150, seed=21))
