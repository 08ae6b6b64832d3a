"""Closes outside of the bands, and what becomes of them."""

import pytest

from tests.strategies import bars, promises
from tests.strategies.promises import make


def stances(memory: int, *closes: float) -> list[int]:
    strategy = make("bollinger_breakout", length=4, width=1.0, memory=memory)
    return strategy.stances(bars.of_closes(*[10.0] * 12, *closes)).tolist()[12:]


def test_a_breakout_lasts_until_the_mean_is_crossed() -> None:
    # mean and deviation of four: (11, 1.73) (11.5, 1.66) (11.75, 1.48) (11.25, 2.17) (10, 1.58) (9.3, 1.08) (8.85, 0.5)
    assert stances(9, 14, 12, 11, 8, 9, 9.2, 9.2) == [1, 1, 0, -1, -1, -1, 0]


def test_a_breakout_is_forgotten_after_its_memory() -> None:
    assert stances(2, 14, 13.2, 13.2, 13.2) == [1, 1, 0, 0]
    assert stances(3, 14, 13.2, 13.2, 13.2) == [1, 1, 1, 0]


@pytest.mark.parametrize("values", [{"length": 5, "width": 1.5, "memory": 7}, {"length": 2, "width": 0.5, "memory": 1}])
def test_it_keeps_its_promises_at_every_bar(values: dict[str, float]) -> None:
    strategy = make("bollinger_breakout", **values)
    promises.holds_at_every_bar(strategy, promises.markets_for(strategy, strategy.warmup + 150, seed=21))
