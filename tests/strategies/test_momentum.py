"""The last move and its direction."""

import pytest

from tests.strategies import bars, promises
from tests.strategies.promises import make


@pytest.mark.parametrize(
    ("closes", "threshold", "expected"),
    [
        pytest.param((10, 11, 12), 0.0, [0, 0, 1], id="up over two bars"),
        pytest.param((12, 11, 10), 0.0, [0, 0, -1], id="down over two bars"),
        pytest.param((10, 99, 10), 0.0, [0, 0, 0], id="back where it was"),
        pytest.param((100, 0.5, 110), 0.1, [0, 0, 1], id="ten percent and a hair: 110/100-1 is above 0.1 in floats"),
        pytest.param((100, 0.5, 109), 0.1, [0, 0, 0], id="not enough"),
        pytest.param((100, 0.5, 89), 0.1, [0, 0, -1], id="enough down"),
    ],
)
def test_the_side_is_the_direction(closes: tuple[float, ...], threshold: float, expected: list[int]) -> None:
    strategy = make("momentum", lookback=2, threshold=threshold)
    assert strategy.stances(bars.of_closes(*closes)).tolist() == expected


@pytest.mark.parametrize("values", [{}, {"lookback": 1, "threshold": 0.01}])
def test_it_keeps_its_promises_at_every_bar(values: dict[str, float]) -> None:
    strategy = make("momentum", **values)
    promises.holds_at_every_bar(strategy, promises.markets_for(strategy, strategy.warmup + 150, seed=21))
