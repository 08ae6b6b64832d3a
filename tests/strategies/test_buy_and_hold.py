"""Always long."""

from tests.strategies import bars, promises
from tests.strategies.promises import make


def test_it_is_long_with_everything_from_the_first_bar() -> None:
    strategy, candles = make("buy_and_hold"), bars.of_closes(3, 2, 1)
    assert strategy.stances(candles).tolist() == [1, 1, 1]
    weights = strategy.weights(candles)
    assert weights is not None
    assert weights.tolist() == [1.0, 1.0, 1.0]


def test_it_keeps_its_promises_at_every_bar() -> None:
    promises.holds_at_every_bar(make("buy_and_hold"), [bars.market(50)])
