"""Closes outside of Keltner's channel, and the ways out that go with them."""

import numpy as np
import pytest

from tests.strategies import bars, promises
from tests.strategies.promises import make

CLOSES = [*[10.0] * 22, 13, 12.35, 11]
VALUES = {"length": 2, "atr": 1, "width": 0.2, "memory": 3, "stop": 2.0, "target": 1.0, "trailing": 1.5}


def test_a_breakout_lasts_until_the_mean_is_crossed() -> None:
    # mean 12, 12.23, 11.41; true range 3, 0.65, 1.35; a fifth of it is 0.6, 0.13, 0.27
    assert make("atr_channel", **VALUES).stances(bars.of_closes(*CLOSES)).tolist() == [0] * 22 + [1, 1, -1]


def test_the_ways_out_are_multiples_of_the_range_on_the_side_of_the_stance() -> None:
    plan = make("atr_channel", **VALUES).exit_plan(bars.of_closes(*CLOSES))
    assert plan is not None
    assert np.isnan(np.column_stack(plan)[:22]).all(), "no stance, no entry, no way out"
    assert plan.stop_loss[22:].tolist() == pytest.approx([13 - 6, 12.35 - 1.3, 11 + 2.7])
    assert plan.take_profit[22:].tolist() == pytest.approx([13 + 3, 12.35 + 0.65, 11 - 1.35])
    assert plan.trailing_distance[22:].tolist() == pytest.approx([4.5, 0.975, 2.025])


def test_a_way_out_of_zero_ranges_is_none() -> None:
    plan = make("atr_channel", **VALUES | {"stop": 0.0, "target": 0.0, "trailing": 0.0}).exit_plan(
        bars.of_closes(*CLOSES)
    )
    assert plan is not None
    assert np.isnan(np.column_stack(plan)).all()


@pytest.mark.parametrize(
    "values",
    [
        {"length": 3, "atr": 4, "width": 1.0, "memory": 7},
        {"length": 2, "atr": 1, "width": 0.2, "memory": 1, "target": 3.0, "trailing": 2.0},
    ],
)
def test_it_keeps_its_promises_at_every_bar(values: dict[str, float]) -> None:
    strategy = make("atr_channel", **values)
    promises.holds_at_every_bar(strategy, promises.markets_for(strategy, strategy.warmup + 150, seed=21))
