"""The close against the mean price paid."""

import pytest

from tests.strategies import bars, promises
from tests.strategies.promises import make


def stances(*closes: float) -> list[int]:
    strategy = make("vwap_reversion", length=2, band=0.05, memory=3)
    return strategy.stances(bars.of_closes(*[10.0] * 5, *closes)).tolist()[5:]


@pytest.mark.parametrize(
    ("closes", "expected"),
    [
        pytest.param((8, 8), [1, 0], id="below 9 by more than 5 %, then at the mean"),
        pytest.param((8, 8, 10, 9.8), [1, 0, -1, 0], id="above 9, then below the mean"),
        pytest.param((9.6, 9.2), [0, 0], id="not far enough"),
        pytest.param((12, 12.2, 12.3, 12.4), [-1, -1, -1, 0], id="given up after its memory"),
    ],
)
def test_a_bet_lasts_until_the_close_is_back(closes: tuple[float, ...], expected: list[int]) -> None:
    assert stances(*closes) == expected


def test_bars_weigh_as_much_as_was_traded() -> None:
    strategy, candles = make("vwap_reversion", length=2, band=0.05, memory=1), bars.of_closes(10, 10, 9)
    assert strategy.stances(candles).tolist() == [0, 0, 1], "9 is 5.3 % below 9.5"
    candles.volume[2] = 3.0
    assert strategy.stances(candles).tolist() == [0, 0, 0], "9 is 2.7 % below 9.25"


@pytest.mark.parametrize("values", [{"length": 5, "memory": 7}, {"length": 2, "band": 0.001, "memory": 1}])
def test_it_keeps_its_promises_at_every_bar(values: dict[str, float]) -> None:
    strategy = make("vwap_reversion", **values)
    promises.holds_at_every_bar(strategy, promises.markets_for(strategy, strategy.warmup + 150, seed=21))
