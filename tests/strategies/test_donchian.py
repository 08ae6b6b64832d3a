"""Closes outside of the channel of the bars before."""

import pytest

from tests.strategies import bars, promises
from tests.strategies.promises import make


def stances(memory: int, *closes: float) -> list[int]:
    strategy = make("donchian", exit=2, entry=3, memory=memory)
    return strategy.stances(bars.of_closes(*[5.0] * 9, *closes)).tolist()[9:]


@pytest.mark.parametrize(
    ("closes", "expected"),
    [
        pytest.param((6, 7, 6.5, 5.9, 7.5), [1, 1, 1, -1, 1], id="turned around at either channel"),
        pytest.param((6, 7, 6.8, 6.5), [1, 1, 1, 0], id="left by the shorter channel alone"),
        pytest.param((4, 4.5, 5), [-1, -1, 0], id="a close at the channel is inside the long one, outside the short"),
    ],
)
def test_a_breakout_lasts_until_the_shorter_channel_is_left(closes: tuple[float, ...], expected: list[int]) -> None:
    assert stances(6, *closes) == expected


def test_a_breakout_is_forgotten_after_its_memory() -> None:
    assert stances(2, 6, 6, 6, 6) == [1, 1, 0, 0]


def test_highs_and_lows_make_the_channel() -> None:
    candles = bars.of_closes(*[5.0] * 9, 6.0, 7.0)
    candles.high[8] = 6.5
    strategy = make("donchian", exit=2, entry=3, memory=6)
    assert strategy.stances(candles._replace(close=bars.of_closes(*[5.0] * 9, 6.0, 7.0).close)).tolist()[9:] == [0, 1]


@pytest.mark.parametrize("values", [{"exit": 3, "entry": 8, "memory": 10}, {"exit": 1, "entry": 2, "memory": 1}])
def test_it_keeps_its_promises_at_every_bar(values: dict[str, float]) -> None:
    strategy = make("donchian", **values)
    promises.holds_at_every_bar(strategy, promises.markets_for(strategy, strategy.warmup + 150, seed=21))
