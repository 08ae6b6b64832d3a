"""Luck, measured: what the samples must hold whatever was drawn, and figures that can be worked out by hand."""

import itertools
import math
import time
import tracemalloc

import numpy as np
import pytest

from apps.domain.backtests import resampling
from apps.domain.backtests.resampling import Method, Plan
from apps.domain.errors import Refused

CASH = 1000.0


def plan(method: Method = Method.BOOTSTRAP, **more: object) -> Plan:
    return Plan(**{"method": method, "samples": 2000, "seed": 7, **more})


def noise(count: int, mean: float = 0.0, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.01, count)


def drawdown_pct(steps: "tuple[float, ...]") -> float:
    """Measure the deepest fall of compounded steps, step by step."""
    money = peak = 1.0
    deepest = 0.0
    for step in steps:
        money *= 1 + step
        peak = max(peak, money)
        deepest = max(deepest, 1 - money / peak)
    return 100 * deepest


@pytest.mark.parametrize("method", Method)
def test_one_seed_gives_one_answer_and_another_seed_another(method: Method) -> None:
    steps = noise(300)
    first = resampling.simulate(steps, CASH, plan(method))
    assert resampling.simulate(steps, CASH, plan(method)) == first
    assert resampling.simulate(steps, CASH, plan(method, seed=8)).max_drawdowns_pct != first.max_drawdowns_pct


def test_the_order_of_trades_changes_the_drawdown_and_not_the_end() -> None:
    steps = np.array([0.10, -0.05, 0.20, -0.10, 0.03])
    every = sorted(drawdown_pct(order) for order in itertools.permutations(steps))
    found = resampling.simulate(steps, CASH, plan(Method.SHUFFLE, samples=20_000))
    assert found.final_equities == pytest.approx(dict.fromkeys(resampling.PERCENTILES, CASH * np.prod(1 + steps)))
    assert found.probability_of_loss == 0
    assert found.max_drawdown_pct == pytest.approx(drawdown_pct(tuple(steps)))
    assert found.max_drawdowns_pct[99] == pytest.approx(np.percentile(every, 99))
    assert found.max_drawdowns_pct[25] == pytest.approx(np.percentile(every, 25))
    deeper = sum(one >= found.max_drawdown_pct * (1 - 1e-9) for one in every) / len(every)
    assert found.probability_of_deeper_drawdown == pytest.approx(deeper, abs=0.02)


def test_drawing_one_of_two_trades_twice_has_known_chances() -> None:
    """Of +50 % and -50 %: up twice 2.25, once each 0.75, down twice 0.25, in one, two and one of four cases."""
    found = resampling.simulate(np.array([0.5, -0.5]), CASH, plan(samples=40_000))
    assert found.probability_of_loss == pytest.approx(0.75, abs=0.01)
    assert found.mean_final_equity == pytest.approx(CASH, rel=0.02)
    assert found.probability_of_ruin == pytest.approx(0.5, abs=0.01)  # down at once: 0.5; or twice: 0.25
    assert (found.final_equities[5], found.final_equities[50], found.final_equities[99]) == (250, 750, 2250)
    assert found.standard_error == 0.0025


def test_additive_steps_add_money() -> None:
    pnls = np.array([100.0, -300.0, 50.0, 150.0])
    steps = resampling.trade_steps(pnls, CASH, additive=True)
    found = resampling.simulate(steps, CASH, plan(Method.SHUFFLE, additive=True))
    assert found.final_equity == pytest.approx(1000)
    assert found.max_drawdown_pct == pytest.approx(100 * 300 / 1100)
    assert found.max_drawdowns_pct[99] == pytest.approx(30)  # the loss comes first
    assert found.max_drawdowns_pct[1] == pytest.approx(100 * 300 / 1300)  # it comes last


def test_an_account_that_came_to_nothing_stays_there() -> None:
    for additive in (True, False):
        found = resampling.simulate(np.array([-1.2, 3.0]), CASH, plan(Method.SHUFFLE, additive=additive))
        assert found.final_equities[1] == 0
        assert found.max_drawdowns_pct[99] == 100
        assert found.probability_of_ruin > 0.4


def test_steps_of_trades_lead_back_to_the_account() -> None:
    pnls = np.array([120.0, -80.0, 40.0])
    steps = resampling.trade_steps(pnls, CASH)
    assert steps == pytest.approx([120 / 1000, -80 / 1120, 40 / 1040])
    assert CASH * np.prod(1 + steps) == pytest.approx(CASH + pnls.sum())


def test_steps_of_bars_lead_back_to_the_curve() -> None:
    equity = np.array([1000.0, 1010.0, 990.0, 1300.0])
    assert CASH * np.cumprod(1 + resampling.bar_steps(equity, CASH)) == pytest.approx(equity)


def test_blocks_keep_calm_and_storm_together() -> None:
    """Losses that come in a row are as deep in blocks; drawn one by one they are scattered."""
    steps = np.full(400, 0.001)
    steps[200:240] = -0.01
    together = resampling.simulate(steps, CASH, plan(Method.BLOCKS, block=40))
    scattered = resampling.simulate(steps, CASH, plan(Method.BLOCKS, block=1))
    assert together.max_drawdowns_pct[95] > 1.5 * scattered.max_drawdowns_pct[95]
    assert together.block == 40


def test_no_return_is_drawn_less_often_than_another() -> None:
    """The ring: without it the first and the last returns would be in fewer blocks."""
    steps = np.arange(10.0)
    drawn = resampling._draw(np.random.default_rng(1), steps, 20_000, Method.BLOCKS, 4)
    counts = np.bincount(drawn.astype(int).ravel(), minlength=10) / drawn.size
    assert drawn.shape == (20_000, 10)
    assert counts == pytest.approx(np.full(10, 0.1), abs=0.003)
    followed = drawn[:, 1] - drawn[:, 0]
    assert set(np.unique(followed)) == {1.0, -9.0}


def test_the_block_is_the_cube_root_unless_one_is_chosen() -> None:
    assert resampling.simulate(noise(1000), CASH, plan(Method.BLOCKS, samples=10)).block == 10
    assert resampling.simulate(noise(5), CASH, plan(Method.BLOCKS, samples=10, block=50)).block == 5


@pytest.mark.parametrize("method", Method)
def test_a_mean_that_is_there_is_told_from_luck(method: Method) -> None:
    real = resampling.simulate(noise(500, mean=0.002), CASH, plan(method)).significance
    luck = resampling.simulate(noise(500, seed=5) - noise(500, seed=5).mean(), CASH, plan(method)).significance
    assert real.p_value < 0.01
    assert luck.p_value == pytest.approx(0.5, abs=0.05)
    if method is not Method.SHUFFLE:
        assert real.low is not None
        assert real.high is not None
        assert 0 < real.low < real.mean < real.high


@pytest.mark.parametrize("method", Method)
def test_the_chance_of_luck_is_spread_evenly_where_there_is_nothing(method: Method) -> None:
    """A test that cries wolf five times in a hundred at 5 %, and not twenty."""
    found = [
        resampling.simulate(noise(60, seed=seed), CASH, plan(method, samples=200)).significance.p_value
        for seed in range(200)
    ]
    assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.12
    assert np.mean(found) == pytest.approx(0.5, abs=0.07)


def test_the_figure_of_the_sign_flips_is_exact_for_few_trades() -> None:
    """Three gains: all eight signs are equally likely, and one of them is as good as what was seen."""
    found = resampling.simulate(np.array([0.01, 0.02, 0.03]), CASH, plan(Method.SHUFFLE, samples=20_000))
    assert found.significance.p_value == pytest.approx(1 / 8, abs=0.01)


def test_a_thousand_samples_of_a_thousand_trades_take_well_under_a_second() -> None:
    steps = noise(1000)
    for method in Method:
        began = time.perf_counter()
        resampling.simulate(steps, CASH, plan(method, samples=1000))
        assert time.perf_counter() - began < 0.8


def test_memory_does_not_grow_with_the_samples() -> None:
    tracemalloc.start()
    told: list[float] = []
    resampling.simulate(noise(50_000), CASH, plan(Method.BLOCKS, samples=400), progress=told.append)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6
    assert told == sorted(told)
    assert told[-1] == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"samples": 0}, "samples"),
        ({"samples": 10**7}, "samples"),
        ({"ruin": 0.0}, "ruin"),
        ({"ruin": math.nan}, "ruin"),
        ({"block": 0}, "block"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(change: dict[str, object], field: str) -> None:
    with pytest.raises(Refused) as refused:
        plan(**change)
    assert [problem.field for problem in refused.value.problems] == [field]


@pytest.mark.parametrize(
    ("steps", "cash", "field"),
    [([0.1], CASH, "steps"), ([0.1, math.nan], CASH, "steps"), ([0.1, 0.2], 0.0, "cash"), ([1, 2], math.nan, "cash")],
)
def test_what_cannot_be_drawn_from_is_refused(steps: list[float], cash: float, field: str) -> None:
    with pytest.raises(Refused) as refused:
        resampling.simulate(np.array(steps, float), cash, plan())
    assert [problem.field for problem in refused.value.problems] == [field]


def test_trades_after_the_money_ran_out_are_refused() -> None:
    with pytest.raises(Refused, match="empty before trade 3"):
        resampling.trade_steps(np.array([-600.0, -400.0, 5.0]), CASH)
    with pytest.raises(Refused, match="not above zero after bar 1"):
        resampling.bar_steps(np.array([900.0, 0.0, 5.0]), CASH)


def test_everything_is_plain_json() -> None:
    import json

    text = json.dumps(resampling.simulate(noise(50), CASH, plan(Method.BLOCKS)).as_json(), allow_nan=False)
    assert json.loads(text)["method"] == "blocks"
