"""Which parameters are tried, in which order, and which of them count as best."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain.backtests import axes, search
from apps.domain.backtests.axes import Axis
from apps.domain.backtests.search import Space
from apps.domain.errors import Refused
from apps.domain.strategies.momentum import Momentum
from apps.domain.strategies.sma_cross import SmaCross

WHOLE = {"type": "integer", "minimum": 1, "maximum": 1000}
NUMBER = {"type": "number", "minimum": 0.0, "maximum": 1.0}


@pytest.mark.parametrize(
    ("text", "about", "points"),
    [
        pytest.param("5:20:5", WHOLE, (5, 10, 15, 20), id="a range with its end"),
        pytest.param("5:19:5", WHOLE, (5, 10, 15), id="a range that its step does not hit"),
        pytest.param("5:8", WHOLE, (5, 6, 7, 8), id="a range of whole numbers without a step"),
        pytest.param("0.1:0.3:0.1", NUMBER, (0.1, 0.2, 0.3), id="decimal steps stay decimal"),
        pytest.param("0.5:0.5:0.1", NUMBER, (0.5,), id="a range of one"),
        pytest.param("9, 3,9", WHOLE, (9, 3), id="a list keeps its order and drops doubles"),
        pytest.param("1e2", WHOLE, (100,), id="one value"),
        pytest.param("0.25", NUMBER, (0.25,), id="one fraction"),
        pytest.param("yes,no", {"type": "boolean"}, (True, False), id="truths"),
        pytest.param("*", {"type": "boolean"}, (False, True), id="both truths"),
        pytest.param("*", {"type": "string", "enum": ["a", "b"]}, ("a", "b"), id="all words"),
        pytest.param("b", {"type": "string", "enum": ["a", "b"]}, ("b",), id="one word"),
        pytest.param("*", {"type": "integer", "minimum": 2, "maximum": 4}, (2, 3, 4), id="the bounds of the strategy"),
    ],
)
def test_what_a_person_writes_becomes_values(text: str, about: dict[str, object], points: tuple[object, ...]) -> None:
    assert axes.axis("it", text, about).points() == points


def test_a_range_without_a_step_is_cut_into_eleven_on_a_grid() -> None:
    points = axes.axis("it", "0:1", NUMBER).points()
    assert points == tuple(number / 10 for number in range(11))


@pytest.mark.parametrize(
    ("text", "about", "rule"),
    [
        pytest.param("20:5:5", WHOLE, "rise", id="a falling range"),
        pytest.param("5:20:0", WHOLE, "positive step", id="no step"),
        pytest.param("5:20:-1", WHOLE, "positive step", id="a negative step"),
        pytest.param("5:20:1:1", WHOLE, "is no range", id="too many parts"),
        pytest.param("0:20", WHOLE, "must be from 1 to 1000", id="below the bounds"),
        pytest.param("5,2000", WHOLE, "must be from 1 to 1000", id="above the bounds"),
        pytest.param("2.5", WHOLE, "whole number", id="a fraction of a whole"),
        pytest.param("1:3:0.5", WHOLE, "whole number", id="a fractional step of a whole"),
        pytest.param("nan", NUMBER, "a number", id="no number"),
        pytest.param("inf", NUMBER, "a number", id="infinity"),
        pytest.param("0:1:0.0000001", NUMBER, "values, more than", id="far too many"),
        pytest.param("maybe", {"type": "boolean"}, "true or false", id="no truth"),
        pytest.param("c", {"type": "string", "enum": ["a", "b"]}, "one of a, b", id="an unknown word"),
        pytest.param("*", {"type": "number"}, "no bounds", id="bounds that are not there"),
    ],
)
def test_what_says_no_values_is_refused_by_name(text: str, about: dict[str, object], rule: str) -> None:
    with pytest.raises(Refused, match=rule) as caught:
        axes.axis("it", text, about)
    assert caught.value.problems[0].field == "it"


@given(st.integers(1, 500), st.integers(0, 500), st.integers(1, 50))
def test_every_point_of_a_range_is_a_step_from_its_start(low: int, more: int, step: int) -> None:
    points = axes.axis("it", f"{low}:{low + more}:{step}", WHOLE).points()
    assert points == tuple(range(low, low + more + 1, step))


def test_every_problem_of_a_space_is_told_at_once() -> None:
    texts = ["fast=9:1", "slow=0:10", "pace=3", "fast", "slow=5", "slow=6"]
    with pytest.raises(Refused) as caught:
        search.space(SmaCross, texts)
    told = [(problem.field, problem.rule) for problem in caught.value.problems]
    assert [field for field, _ in told] == ["fast", "slow", "pace", "fast", "slow"]
    assert "stands there twice" in told[-1][1]


def test_a_space_without_a_choice_is_refused() -> None:
    with pytest.raises(Refused, match="nothing to search"):
        search.space(SmaCross, ["fast=5"])


def test_a_space_survives_being_stored() -> None:
    where = search.space(Momentum, ["lookback=5:50:5", "threshold=0:0.1"])
    assert Space.from_json(where.as_json()) == where


def test_a_grid_holds_every_combination_the_strategy_allows() -> None:
    chosen = search.grid(SmaCross, search.space(SmaCross, ["fast=5:20:5", "slow=10,20"]))
    pairs = [(each["fast"], each["slow"]) for each in chosen.trials]
    assert pairs == [(5, 10), (5, 20), (10, 20), (15, 20)]
    assert (chosen.refused, chosen.left_out) == (4, 0)


def test_a_limit_takes_combinations_from_all_over_the_grid() -> None:
    where = search.space(SmaCross, ["fast=1:10:1", "slow=20:29:1"])
    whole, some = search.grid(SmaCross, where), search.grid(SmaCross, where, 10)
    assert len(some.trials) == 10
    assert some.left_out == 90
    assert {each["fast"] for each in some.trials} == set(range(1, 11))
    assert all(each in whole.trials for each in some.trials)


def test_a_grid_beyond_all_measure_is_refused() -> None:
    with pytest.raises(Refused, match="combinations, more than"):
        search.grid(SmaCross, search.space(SmaCross, ["fast=1:999:1", "slow=2:1000:1"]))


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(["fast=1:30:1", "slow=2:40:1"], id="small enough to be listed"),
        pytest.param(["fast=1:900", "slow=2:5000"], id="whole numbers too many to list"),
    ],
)
def test_draws_are_different_allowed_and_the_same_for_a_seed(texts: list[str]) -> None:
    where = search.space(SmaCross, texts)
    drawn = search.draws(SmaCross, where, 200, seed=3).trials
    assert len({search.identity(each) for each in drawn}) == 200
    assert all(search.is_allowed(SmaCross, each) for each in drawn)
    assert drawn == search.draws(SmaCross, where, 200, seed=3).trials
    assert drawn != search.draws(SmaCross, where, 200, seed=4).trials


def test_draws_end_where_the_space_does() -> None:
    chosen = search.draws(SmaCross, search.space(SmaCross, ["fast=1:3:1", "slow=2:4:1"]), 100, seed=0)
    assert len(chosen.trials) == 6
    assert chosen.refused == 3


@given(st.integers(0, 2**32))
def test_a_draw_stays_within_its_axis(seed: int) -> None:
    axis = Axis(name="it", low=0.25, high=0.75)
    assert 0.25 <= float(axis.draw(random.Random(seed))) <= 0.75


@pytest.mark.parametrize(
    ("measures", "objective", "score"),
    [
        pytest.param({"sharpe": 1.5, "closed_trades": 3}, "sharpe", 1.5, id="more is better"),
        pytest.param({"max_drawdown_pct": 8.0, "closed_trades": 3}, "max_drawdown_pct", -8.0, id="less is better"),
        pytest.param({"sharpe": None, "closed_trades": 3}, "sharpe", None, id="no figure"),
        pytest.param({"sharpe": 1.5, "closed_trades": 0}, "sharpe", None, id="no trade"),
        pytest.param({"sharpe": float("inf"), "closed_trades": 3}, "sharpe", None, id="no finite figure"),
        pytest.param(None, "sharpe", None, id="a failed trial"),
    ],
)
def test_what_a_trial_is_worth(measures: dict[str, float | None] | None, objective: str, score: float | None) -> None:
    assert search.score(measures, search.goal(objective)) == score


def test_too_few_trades_count_for_nothing() -> None:
    measures = {"sharpe": 9.0, "closed_trades": 4}
    assert search.score(measures, search.goal("sharpe"), 5) is None
    assert search.score(measures, search.goal("sharpe"), 4) == 9.0


def test_of_equal_trials_the_first_is_best() -> None:
    assert search.best([None, 1.0, 3.0, 3.0, 2.0]) == 2
    assert search.best([None, None]) is None
    assert search.best([]) is None


def test_an_unknown_objective_names_those_there_are() -> None:
    with pytest.raises(Refused, match="sharpe") as caught:
        search.goal("luck")
    assert "final_equity" in caught.value.problems[0].remedy


def test_every_objective_is_a_figure_of_a_trial(measured: Callable[[], dict[str, object]]) -> None:
    assert set(search.GOALS) <= set(measured())


@pytest.fixture
def measured() -> Callable[[], dict[str, object]]:
    from apps.domain.backtests import attempts
    from apps.domain.backtests.conventions import Conventions
    from tests.backtests import searching

    series = [searching.candles(300)]
    return lambda: dict(attempts.measured(SmaCross, {"fast": 3, "slow": 9}, series, Conventions(), bar_seconds=86_400))
