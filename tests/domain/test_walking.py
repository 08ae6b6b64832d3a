"""Where a walk forward trains and tests: never on the same bar, and without a hole between two tests."""

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from apps.domain.backtests import walking
from apps.domain.backtests.walking import Length, Mode, Window
from apps.domain.errors import Refused

DAY = 86_400
JANUARY = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())


def days(count: int, step: int = DAY) -> walking.Ints:
    return JANUARY + step * np.arange(count, dtype=np.int64)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        pytest.param("500", Length(bars=500), id="bars"),
        pytest.param("500bars", Length(bars=500), id="bars by name"),
        pytest.param("90d", Length(seconds=90 * DAY), id="days"),
        pytest.param("36h", Length(seconds=36 * 3600), id="hours"),
        pytest.param("12w", Length(seconds=84 * DAY), id="weeks"),
        pytest.param("6mo", Length(months=6), id="months"),
        pytest.param("2y", Length(months=24), id="years"),
    ],
)
def test_lengths_as_people_write_them(text: str, length: Length) -> None:
    assert Length.parse("train", text) == length


@pytest.mark.parametrize("text", ["", "0", "-5", "6m", "1.5y", "many"])
def test_what_is_no_length_is_refused_under_its_name(text: str) -> None:
    with pytest.raises(Refused, match="test: "):
        Length.parse("test", text)


def test_rolling_windows_move_and_anchored_ones_grow() -> None:
    lengths = (Length(bars=100), Length(bars=50))
    rolling = walking.windows(days(300), *lengths, Mode.ROLLING)
    anchored = walking.windows(days(300), *lengths, Mode.ANCHORED)
    assert rolling == [Window(0, 100, 150), Window(50, 150, 200), Window(100, 200, 250), Window(150, 250, 300)]
    assert anchored == [Window(0, 100, 150), Window(0, 150, 200), Window(0, 200, 250), Window(0, 250, 300)]


def test_months_are_those_of_the_calendar() -> None:
    found = walking.windows(days(366 + 365), Length(months=12), Length(months=3), Mode.ROLLING)
    starts = [datetime.fromtimestamp(JANUARY + DAY * window.test, UTC) for window in found]
    assert [(start.year, start.month, start.day) for start in starts] == [
        (2021, 1, 1),
        (2021, 4, 1),
        (2021, 7, 1),
        (2021, 10, 1),
    ]
    assert [window.test - window.train for window in found] == [366, 365, 365, 365]


def test_a_short_rest_is_left_out_and_half_a_window_is_kept() -> None:
    lengths = (Length(bars=100), Length(bars=50))
    assert walking.windows(days(224), *lengths, Mode.ROLLING)[-1].end == 200
    assert walking.windows(days(225), *lengths, Mode.ROLLING)[-1].end == 225


@given(st.integers(30, 1500), st.integers(10, 800), st.integers(2, 300), st.sampled_from(Mode))
def test_no_test_bar_is_trained_on_and_none_is_tested_twice(bars: int, train: int, test: int, mode: Mode) -> None:
    assume(train + 2 <= bars)
    found = walking.windows(days(bars), Length(bars=train), Length(bars=test), mode)
    assert found[0].test == train
    for window in found:
        assert 0 <= window.train < window.test < window.end <= bars
        assert window.test - window.train >= train
    for one, other in pairwise(found):
        assert one.end == other.test
        assert one.train <= other.train


@pytest.mark.parametrize(
    ("bars", "train", "test", "rule"),
    [
        pytest.param(100, 100, 10, "nothing to test on", id="all of it is training"),
        pytest.param(100, 200, 10, "nothing to test on", id="more than there is"),
        pytest.param(100, 5, 10, "5 bars to train", id="too little training"),
        pytest.param(100, 50, 1, "1 to test", id="too little testing"),
        pytest.param(5000, 100, 2, "more than 1000 windows", id="too many windows"),
    ],
)
def test_windows_that_say_nothing_are_refused(bars: int, train: int, test: int, rule: str) -> None:
    with pytest.raises(Refused, match=rule):
        walking.windows(days(bars), Length(bars=train), Length(bars=test), Mode.ROLLING)


def test_a_hole_in_the_data_makes_no_empty_window() -> None:
    at = np.concatenate([days(100), days(100) + 400 * DAY])
    found = walking.windows(at, Length(seconds=60 * DAY), Length(seconds=20 * DAY), Mode.ANCHORED)
    assert all(window.end > window.test for window in found)
    assert found[-1].end == 200


def test_a_stretch_counts_from_the_bar_before_it() -> None:
    equity = np.array([90.0, 99.0, 110.0])
    found = walking.stretch(days(3), equity, 100.0)
    assert found.gain_pct == pytest.approx(10.0)
    assert found.max_drawdown_pct == pytest.approx(10.0)
    assert walking.stretch(days(3), np.array([1.0, 0.0, 0.0]), 2.0).yearly_pct is None


def test_efficiency_compares_growth_with_growth() -> None:
    assert walking.efficiency([20.0, 40.0], [10.0, 20.0]) == pytest.approx(0.5)
    assert walking.efficiency([20.0, None], [10.0, 99.0]) == pytest.approx(0.5)
    assert walking.efficiency([-5.0], [10.0]) is None
    assert walking.efficiency([None], [10.0]) is None


def test_stability_says_how_much_the_windows_agree() -> None:
    found = walking.stability([{"fast": 5, "kind": "a"}, {"fast": 5, "kind": "b"}, {"fast": 20, "kind": "b"}])
    assert found["fast"] == {
        "values": [5, 5, 20],
        "usual": 5,
        "usual_share": pytest.approx(2 / 3),
        "changes": 1,
        "spread": pytest.approx(np.std([5, 5, 20]) / 10),
    }
    assert found["kind"]["usual"] == "b"
    assert found["kind"]["spread"] is None
    assert walking.stability([]) == {}
