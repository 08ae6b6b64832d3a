"""The relative strength index against two thresholds."""

import pytest

from tests.strategies import bars, promises
from tests.strategies.promises import make


@pytest.mark.parametrize(
    ("closes", "expected"),
    [
        pytest.param((10, 9, 8), [0, 0, 1], id="only falls: index 0, bet on a rise"),
        pytest.param((8, 9, 10), [0, 0, -1], id="only rises: index 100, bet on a fall"),
        pytest.param((5, 5, 5), [0, 0, 0], id="nothing moves: index 50"),
        pytest.param((10, 12, 11), [0, 0, 0], id="two up, one down: 66.7"),
        pytest.param((10, 13, 12), [0, 0, -1], id="three up, one down: 75"),
        pytest.param((10, 9, 9.25), [0, 0, 1], id="one down, a quarter up: 20"),
    ],
)
def test_the_side_is_against_the_extreme(closes: tuple[float, ...], expected: list[int]) -> None:
    strategy = make("rsi_reversion", length=2, low=30.0, high=70.0)
    assert strategy.stances(bars.of_closes(*closes)).tolist() == expected


def test_a_whole_number_serves_where_a_fraction_may_stand() -> None:
    assert make("rsi_reversion", low=30, high=70).warmup == 15


@pytest.mark.parametrize("values", [{}, {"length": 2}])
def test_it_keeps_its_promises_at_every_bar(values: dict[str, float]) -> None:
    strategy = make("rsi_reversion", **values)
    promises.holds_at_every_bar(strategy, promises.markets_for(strategy, strategy.warmup + 150, seed=21))
