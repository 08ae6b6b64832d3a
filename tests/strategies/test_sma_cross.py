"""Two simple means: who is above."""

import pytest

from tests.strategies import bars, promises
from tests.strategies.promises import make


@pytest.mark.parametrize(
    ("closes", "expected"),
    [
        pytest.param((1, 2, 3, 4), [0, 0, 1, 1], id="rising: the fast mean is above"),
        pytest.param((4, 3, 2, 1), [0, 0, -1, -1], id="falling: the fast mean is below"),
        pytest.param((2, 2, 2, 2), [0, 0, 0, 0], id="still: equal means are flat"),
        pytest.param((0.7, 0.7, 0.7, 0.7), [0, 0, 0, 0], id="still at a price that floats cannot write"),
        pytest.param((3, 3, 3, 6, 0, 0), [0, 0, 0, 1, 0, -1], id="up, equal, down"),
        pytest.param((1, 2), [0, 0], id="too few bars"),
    ],
)
def test_the_side_is_that_of_the_fast_mean(closes: tuple[float, ...], expected: list[int]) -> None:
    # by hand for (3,3,3,6,0,0), fast 2, slow 3: fast 3,3,4.5,3,0; slow 3,4,3,2 from the third bar on
    assert make("sma_cross", fast=2, slow=3).stances(bars.of_closes(*closes)).tolist() == expected


@pytest.mark.parametrize("values", [{}, {"fast": 1, "slow": 2}, {"fast": 3, "slow": 64}])
def test_it_keeps_its_promises_at_every_bar(values: dict[str, float]) -> None:
    strategy = make("sma_cross", **values)
    promises.holds_at_every_bar(strategy, promises.markets_for(strategy, strategy.warmup + 150, seed=21))
