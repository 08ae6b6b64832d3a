"""The strongest of several instruments, a part of the book renewed at every bar."""

import pytest

from tests.strategies import bars, promises
from tests.strategies.promises import make


def test_the_book_is_the_mean_of_the_last_choices() -> None:
    strategy = make("momentum_rotation", lookback=1, top=1, hold=2)
    first, second = bars.of_closes(10, 11, 11, 12, 13), bars.of_closes(10, 12, 12, 13, 13)
    # rises: 10 and 20 %, none, 9.1 and 8.3 %, 8.3 % and none: the second, nobody, the first, the first
    weights = strategy.weights_of([first, second])
    assert weights.tolist() == [[0, 0], [0, 0], [0, 0.5], [0.5, 0], [1, 0]]


def test_of_equal_rises_the_first_named_wins_and_falls_are_never_held() -> None:
    strategy = make("momentum_rotation", lookback=1, top=2, hold=1)
    up, down = bars.of_closes(10, 11), bars.of_closes(11, 10)
    assert strategy.weights_of([up, up, up])[-1].tolist() == [0.5, 0.5, 0]
    assert strategy.weights_of([down, up, down])[-1].tolist() == [0, 0.5, 0]


def test_no_more_than_everything_is_held() -> None:
    strategy = make("momentum_rotation", lookback=5, top=3, hold=7)
    weights = strategy.weights_of(bars.markets(300, 6))
    assert weights.min() >= 0
    assert weights.sum(axis=1).max() <= 1 + 1e-12
    assert ((weights > 0).sum(axis=1) > 3).any(), "parts of older choices are still held"


def test_alone_an_instrument_is_held_while_it_rises() -> None:
    strategy = make("momentum_rotation", lookback=1, top=1, hold=1)
    assert strategy.stances(bars.of_closes(10, 11, 10, 12)).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("values", [{"lookback": 5, "top": 2, "hold": 3}, {"lookback": 1, "top": 1, "hold": 1}])
def test_it_keeps_its_promises_at_every_bar(values: dict[str, float]) -> None:
    strategy = make("momentum_rotation", **values)
    promises.holds_at_every_bar(strategy, promises.markets_for(strategy, strategy.warmup + 150, seed=21))
