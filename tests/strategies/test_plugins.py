"""What each shipped strategy says, value by value, and what every strategy promises."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from apps.domain.errors import Refused
from apps.domain.strategies import contract, windows
from apps.domain.strategies.registry import STRATEGIES
from tests.strategies import bars

SHIPPED = ("momentum", "rsi_reversion", "sma_cross")


def make(name: str, **values: object) -> contract.Strategy:
    return contract.build(STRATEGIES.get(name), values)


def stances(name: str, closes: tuple[float, ...], **values: object) -> list[int]:
    return make(name, **values).stances(bars.of_closes(*closes)).tolist()


def test_the_folder_is_walked() -> None:
    assert set(SHIPPED) <= set(STRATEGIES.names())


@pytest.mark.parametrize(
    ("closes", "expected"),
    [
        pytest.param((1, 2, 3, 4), [0, 0, 1, 1], id="rising: the fast mean is above"),
        pytest.param((4, 3, 2, 1), [0, 0, -1, -1], id="falling: the fast mean is below"),
        pytest.param((2, 2, 2, 2), [0, 0, 0, 0], id="still: equal means are flat"),
        pytest.param((3, 3, 3, 6, 0, 0), [0, 0, 0, 1, 0, -1], id="up, equal, down"),
        pytest.param((1, 2), [0, 0], id="too few bars"),
    ],
)
def test_sma_cross(closes: tuple[float, ...], expected: list[int]) -> None:
    # by hand for (3,3,3,6,0,0), fast 2, slow 3: fast 3,3,4.5,3,0; slow 3,4,3,2 from the third bar on
    assert stances("sma_cross", closes, fast=2, slow=3) == expected


@pytest.mark.parametrize(
    ("closes", "threshold", "expected"),
    [
        pytest.param((10, 11, 12), 0.0, [0, 0, 1], id="up over two bars"),
        pytest.param((12, 11, 10), 0.0, [0, 0, -1], id="down over two bars"),
        pytest.param((10, 99, 10), 0.0, [0, 0, 0], id="back where it was"),
        pytest.param((100, 0.5, 110), 0.1, [0, 0, 1], id="ten percent and a hair: 110/100-1 is above 0.1 in floats"),
        pytest.param((100, 0.5, 109), 0.1, [0, 0, 0], id="not enough"),
        pytest.param((100, 0.5, 89), 0.1, [0, 0, -1], id="enough down"),
    ],
)
def test_momentum(closes: tuple[float, ...], threshold: float, expected: list[int]) -> None:
    assert stances("momentum", closes, lookback=2, threshold=threshold) == expected


@pytest.mark.parametrize(
    ("closes", "expected"),
    [
        pytest.param((10, 9, 8), [0, 0, 1], id="only falls: index 0, bet on a rise"),
        pytest.param((8, 9, 10), [0, 0, -1], id="only rises: index 100, bet on a fall"),
        pytest.param((5, 5, 5), [0, 0, 0], id="nothing moves: index 50"),
        pytest.param((10, 12, 11), [0, 0, 0], id="two up, one down: 66.7"),
        pytest.param((10, 13, 12), [0, 0, -1], id="three up, one down: 75"),
        pytest.param((10, 9, 9.25), [0, 0, 1], id="one down, a quarter up: 20"),
    ],
)
def test_rsi_reversion(closes: tuple[float, ...], expected: list[int]) -> None:
    assert stances("rsi_reversion", closes, length=2, low=30.0, high=70.0) == expected


def test_the_windows_agree_with_sums_by_hand() -> None:
    close = bars.walk(60).close
    exact = [Fraction(value) for value in close.tolist()]
    for i in range(5, 60):
        steps = [b - a for a, b in itertools.pairwise(exact[i - 5 : i + 1])]
        rises, falls = sum(max(s, 0) for s in steps), sum(max(-s, 0) for s in steps)
        index = 100 * rises / (rises + falls) if rises + falls else 50
        assert windows.rsi(close, 5)[i] == pytest.approx(float(index))
        assert windows.mean(close, 5)[i] == pytest.approx(float(sum(exact[i - 4 : i + 1]) / 5))
        assert windows.change(close, 5)[i] == pytest.approx(float(exact[i] / exact[i - 5] - 1))
    assert np.isnan(windows.rsi(close, 5)[:5]).all()
    assert np.isnan(windows.mean(close, 5)[:4]).all()


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_no_stance_depends_on_a_later_bar(name: str) -> None:
    plugin, candles = make(name), bars.walk(200)
    whole = plugin.stances(candles)
    assert set(whole.tolist()) >= {1, -1}, "the walk moves enough for both sides, or this test shows nothing"
    for count in range(1, 200):
        assert (plugin.stances(bars.part(candles, slice(count))) == whole[:count]).all()


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_a_short_window_gives_the_stance_of_the_whole_history(name: str) -> None:
    plugin, candles = make(name), bars.walk(200)
    whole = plugin.stances(candles)
    for end in range(plugin.warmup, 200):
        assert plugin.stances(bars.part(candles, slice(end - plugin.warmup, end)))[-1] == whole[end - 1]


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_there_is_no_stance_before_the_warmup(name: str) -> None:
    plugin = make(name)
    answer = plugin.stances(bars.walk(plugin.warmup + 5))
    assert answer.dtype == np.int8
    assert not answer[: plugin.warmup - 1].any()


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_no_bars_are_no_error(name: str) -> None:
    assert len(make(name).stances(bars.of_closes())) == 0


def test_the_schema_describes_types_bounds_and_help() -> None:
    found = contract.schema(STRATEGIES.get("momentum"))
    assert found["additionalProperties"] is False
    assert found["properties"]["lookback"] == {
        "type": "integer",
        "default": 10,
        "minimum": 1,
        "maximum": 5000,
        "description": "Bars to look back.",
    }
    assert found["properties"]["threshold"]["type"] == "number"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        pytest.param({"lookback": 0}, "lookback", id="below the bound"),
        pytest.param({"lookback": 5001}, "lookback", id="above the bound"),
        pytest.param({"lookback": 2.0}, "lookback", id="not whole"),
        pytest.param({"lookback": True}, "lookback", id="a switch is no number"),
        pytest.param({"lookback": "5"}, "lookback", id="a text is no number"),
        pytest.param({"threshold": float("nan")}, "threshold", id="nan"),
        pytest.param({"threshold": None}, "threshold", id="nothing"),
        pytest.param({"lokback": 5}, "lokback", id="unknown name"),
    ],
)
def test_wrong_parameters_are_refused_by_name(values: dict[str, object], field: str) -> None:
    with pytest.raises(Refused) as refused:
        make("momentum", **values)
    assert [problem.field for problem in refused.value.problems] == [field]


def test_every_wrong_parameter_is_named_at_once() -> None:
    with pytest.raises(Refused) as refused:
        make("momentum", lookback=0, threshold=-1, other=1)
    assert {problem.field for problem in refused.value.problems} == {"lookback", "threshold", "other"}


@pytest.mark.parametrize(
    ("name", "values", "field"),
    [("sma_cross", {"fast": 20, "slow": 20}, "fast"), ("rsi_reversion", {"low": 60.0, "high": 40.0}, "low")],
)
def test_parameters_that_contradict_each_other_are_refused(name: str, values: dict[str, object], field: str) -> None:
    with pytest.raises(Refused) as refused:
        make(name, **values)
    assert refused.value.problems[0].field == field


def test_a_whole_number_serves_where_a_fraction_may_stand() -> None:
    assert make("rsi_reversion", low=30, high=70).warmup == 15
