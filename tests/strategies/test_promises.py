"""The checks of promises.py find what they are there to find: each is shown a strategy that breaks one promise."""

from collections.abc import Callable

import numpy as np
import pytest

from apps.domain.strategies import windows
from apps.domain.strategies.contract import Candles, Stances, Strategy
from tests.strategies import bars, promises

Answer = Callable[[Candles], np.ndarray]


class Odd(Strategy):
    """Answers as the test wants, and claims to need five bars."""

    name = "odd"

    class Parameters:
        """None."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    @property
    def warmup(self) -> int:
        return 5

    def stances(self, candles: Candles) -> Stances:
        return self._answer(candles)


def settled(values: np.ndarray) -> np.ndarray:
    return windows.settled(np.sign(np.nan_to_num(values)).astype(np.int8), 5)


def test_one_that_keeps_its_promises_passes() -> None:
    promises.holds_at_every_bar(Odd(lambda c: settled(c.close - windows.mean(c.close, 5))), [bars.market(80)])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(lambda c: settled(c.close - np.mean(c.close)), "up to bar", id="the mean of everything"),
        pytest.param(lambda c: settled(np.append(np.diff(c.close), 0)), "up to bar", id="the next bar"),
        pytest.param(lambda c: settled(c.close - windows.mean(c.close, 6)), "of bar", id="a warm-up one bar short"),
        pytest.param(lambda c: settled(c.close - c.close[:1]), "of bar", id="where the candles begin"),
        pytest.param(lambda c: np.sign(c.close).astype(np.int8), "before the warm-up", id="a stance too early"),
        pytest.param(lambda c: np.zeros(len(c.at)), "are float64", id="floats for stances"),
        pytest.param(lambda c: settled(c.close)[1:], "stances", id="one too few"),
        pytest.param(lambda c: 3 * settled(c.close), "stances are", id="no stance at all"),
    ],
)
def test_one_that_breaks_a_promise_is_found(answer: Answer, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        promises.holds_at_every_bar(Odd(answer), [bars.market(80)])
