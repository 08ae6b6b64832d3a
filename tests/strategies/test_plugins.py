"""What every strategy promises, asked of every plug-in that is found: shipped ones and those of other packages."""

import time
from dataclasses import FrozenInstanceError, fields

import jsonschema
import numpy as np
import pytest

from apps.domain.errors import Refused
from apps.domain.strategies import contract
from apps.domain.strategies.contract import Several
from apps.domain.strategies.registry import STRATEGIES
from tests.strategies import bars, promises
from tests.strategies.promises import make

SHIPPED = {
    "atr_channel",
    "bollinger_breakout",
    "buy_and_hold",
    "donchian",
    "ema_cross",
    "macd",
    "momentum",
    "momentum_rotation",
    "pairs_spread",
    "rsi_reversion",
    "scaled_momentum",
    "sma_cross",
    "vwap_reversion",
}
CUTS = 25

every = pytest.mark.parametrize("name", STRATEGIES.names())


def history(strategy: contract.Strategy, seed: int = 7) -> list[contract.Candles]:
    return promises.markets_for(strategy, 2 * strategy.warmup + 400, seed)


def some(first: int, last: int) -> list[int]:
    return sorted(np.random.default_rng(3).integers(first, last, CUTS, endpoint=True).tolist())


def test_the_folder_is_walked() -> None:
    assert set(STRATEGIES.names()) >= SHIPPED


@every
def test_the_schema_is_one_and_takes_the_defaults(name: str) -> None:
    plugin = STRATEGIES.get(name)
    schema = contract.schema(plugin)
    jsonschema.Draft202012Validator.check_schema(schema)
    defaults = {key: item["default"] for key, item in schema["properties"].items()}
    jsonschema.validate(defaults, schema)
    assert contract.build(plugin, defaults).warmup == make(name).warmup
    assert all(item["title"] and item["description"] for item in schema["properties"].values())
    assert schema["description"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"no_such_parameter": 1}, schema)


@every
def test_what_the_schema_refuses_is_refused_and_everything_is_named(name: str) -> None:
    properties = contract.schema(STRATEGIES.get(name))["properties"]
    wrong = {key: item["maximum"] + 1 for key, item in properties.items() if "maximum" in item}
    with pytest.raises(Refused) as refused:
        make(name, **wrong, no_such_parameter=1)
    assert {problem.field for problem in refused.value.problems} == {*wrong, "no_such_parameter"}


@every
def test_parameters_are_frozen_and_declared(name: str) -> None:
    chosen = STRATEGIES.get(name).Parameters()
    for item in fields(chosen):
        assert item.metadata["help"], f"{item.name} was not made by parameter, choice or switch"
        with pytest.raises(FrozenInstanceError):
            setattr(chosen, item.name, item.default)


@every
def test_it_answers_once_per_bar_in_numbers(name: str) -> None:
    strategy = make(name)
    promises.has_the_right_shape(strategy, history(strategy))


@every
def test_it_does_take_sides(name: str) -> None:
    strategy = make(name)
    answer = promises.said(strategy, history(strategy))
    acting = answer.get("weights", answer.get("stances"))
    assert acting is not None
    assert acting[strategy.warmup :].any(), "a strategy that never acts would pass every test here"


@every
def test_no_answer_depends_on_a_later_bar(name: str) -> None:
    strategy = make(name)
    markets = history(strategy)
    promises.sees_no_later_bar(strategy, markets, some(1, len(markets[0].at)))


@every
def test_a_short_window_gives_the_answer_of_the_whole_history(name: str) -> None:
    strategy = make(name)
    for seed in (7, 8):
        markets = history(strategy, seed)
        promises.needs_no_more_than_the_warmup(strategy, markets, some(strategy.warmup, len(markets[0].at)))


@every
def test_it_leaves_its_candles_alone_and_answers_the_same_again(name: str) -> None:
    strategy = make(name)
    markets = history(strategy)
    before = [[column.copy() for column in candles] for candles in markets]
    first, again = promises.said(strategy, markets), promises.said(make(name), markets)
    np.testing.assert_equal(again, first)
    np.testing.assert_equal([list(candles) for candles in markets], before)


@every
@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_bars_are_no_error(name: str, count: int) -> None:
    strategy = make(name)
    promises.has_the_right_shape(strategy, promises.markets_for(strategy, count))


@every
@pytest.mark.parametrize("price", [0.1, 100.0, 65_432.1, 3e-6])
def test_a_market_that_stands_still_is_no_reason_to_trade(name: str, price: float) -> None:
    strategy = make(name)
    markets = [bars.of_closes(*[price] * (strategy.warmup + 50)) for _ in promises.markets_for(strategy, 1)]
    for values in promises.said(strategy, markets).values():
        acts = np.nan_to_num(values[strategy.warmup :])
        assert (acts == acts[:1]).all()
        assert name == "buy_and_hold" or not acts.any()


@every
def test_nothing_traded_is_no_error(name: str) -> None:
    strategy = make(name)
    markets = [candles._replace(volume=np.zeros_like(candles.volume)) for candles in history(strategy)]
    promises.has_the_right_shape(strategy, markets)


@every
def test_a_year_of_minutes_takes_no_more_than_a_blink(name: str) -> None:
    strategy = make(name)
    markets = promises.markets_for(strategy, 100_000)
    promises.said(strategy, markets)
    began = time.perf_counter()
    promises.said(strategy, markets)
    assert time.perf_counter() - began < 0.5 * len(markets)  # measured: 0.001 to 0.05 s; a loop in Python takes longer


@every
def test_one_that_takes_several_refuses_too_few_and_other_times(name: str) -> None:
    strategy = make(name)
    if not isinstance(strategy, Several):
        return
    markets = promises.markets_for(strategy, 100)
    later = markets[0]._replace(at=markets[0].at + 60)
    with pytest.raises(Refused, match="same bars"):
        strategy.weights_of([later, *markets[1:]])
    with pytest.raises(Refused, match="instruments"):
        strategy.weights_of(markets[: strategy.fewest - 1])
