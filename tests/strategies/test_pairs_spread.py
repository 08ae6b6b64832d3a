"""The ratio of two prices, far from usual and back."""

import pytest

from tests.strategies import bars, promises
from tests.strategies.promises import make


def weights(memory: int, *closes: float) -> list[list[float]]:
    strategy = make("pairs_spread", length=3, entry=1.0, exit=0.5, memory=memory)
    closes = (*[1.0] * 5, *closes)
    return strategy.weights_of([bars.of_closes(*closes), bars.of_closes(*[1.0] * len(closes))]).tolist()[5:]


def test_the_dear_one_is_sold_until_both_are_usual() -> None:
    # deviations from the mean of three: 1.41, 0.71, none (all alike), -1.41
    assert weights(2, 2, 2, 2, 1) == [[-0.5, 0.5], [-0.5, 0.5], [0, 0], [0.5, -0.5]]


def test_a_bet_is_given_up_after_its_memory() -> None:
    assert weights(1, 2, 2) == [[-0.5, 0.5], [0, 0]]


def test_prices_in_lockstep_give_no_signal() -> None:
    candles = bars.market(400)
    twice = candles._replace(close=candles.close * 1.1)
    strategy = make("pairs_spread", length=20, memory=20)
    assert not strategy.weights_of([candles, twice]).any()


@pytest.mark.parametrize(
    "values", [{"length": 10, "memory": 5, "entry": 1.5}, {"length": 3, "memory": 2, "entry": 1.0}]
)
def test_it_keeps_its_promises_at_every_bar(values: dict[str, float]) -> None:
    strategy = make("pairs_spread", **values)
    promises.holds_at_every_bar(strategy, promises.markets_for(strategy, strategy.warmup + 150, seed=21))
