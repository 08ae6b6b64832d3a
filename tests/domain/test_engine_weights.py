"""Target weights: the compiled loop against the slow model, and what a person expects of it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from apps.domain.backtests import engine
from apps.domain.backtests.conventions import Conventions
from apps.domain.errors import Refused
from tests.domain import engine_cases
from tests.domain.engine_cases import assert_same
from tests.domain.slow_weights import SlowWeights


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(engine_cases.weighted())
def test_weights_trade_as_the_slow_model_says(drawn: tuple[Conventions, list[Any], np.ndarray[Any, Any], int]) -> None:
    conventions, markets, weights, warmup = drawn
    result = engine.run(markets, weights, conventions, warmup=warmup)
    slow = SlowWeights(
        c=conventions.as_json(),
        markets=[engine_cases.bars_of(market) for market in markets],
        weights=weights.T.tolist(),
        warmup=warmup,
    ).run()
    assert_same(result, slow)


def test_the_first_weights_are_bought_and_nothing_is_traded_while_they_stay() -> None:
    market = engine_cases.candles(1, 40)
    free = Conventions(slippage="none", units="fractional")
    result = engine.run(market, np.ones(40), free, warmup=1)
    assert result.closed_trades == 0
    assert [(each.entry_bar, each.side) for each in result.open] == [(1, 1)]
    assert result.final_equity == pytest.approx(100_000 * market.close[-1] / market.open[1])


def test_two_halves_stay_halves_when_every_bar_is_rebalanced() -> None:
    markets = [engine_cases.candles(seed, 50) for seed in (1, 2)]
    free = Conventions(slippage="none", units="fractional", entries="level", fill="close")
    result = engine.run(markets, np.full((50, 2), 0.5), free, exposure=True)
    values = [each.value for each in result.open]
    assert values[0] == pytest.approx(values[1])
    assert result.exposure is not None
    assert np.allclose(result.exposure, 1.0)


@pytest.mark.parametrize("more", [{"stop_loss": 0.02}, {"time_stop": 3}, {"sizing": "fixed", "size": 1.0}])
def test_what_is_for_stances_is_refused_with_weights(more: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="target weights"):
        engine.run(engine_cases.candles(1, 5), np.ones(5), Conventions(**more))
