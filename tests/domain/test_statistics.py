"""Statistics by hand: small curves whose figures can be checked with a pencil, and the edges where ratios vanish."""

import itertools
import json
import math
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.domain.backtests import catalogue, statistics
from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.measures import curve, months, ratios, rounds, sampling
from apps.domain.backtests.result import Holding
from tests.domain import curves
from tests.domain.curves import DAY, MONDAY

MINUTE = 60
DOCS = Path(__file__).resolve().parents[2] / "docs" / "statistics.md"


def figures(equity: object, at: object = None, **given: object) -> dict[str, float]:
    made = curves.result(equity, at, **given)
    return statistics.of(made, curves.candles(np.full(len(made.at), 100.0), made.at))


def documented() -> list[list[str]]:
    part = DOCS.read_text().partition("## Figures")[2].partition("\n## ")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| `")
    ]


def test_every_figure_has_its_row_in_the_docs_and_its_name_in_the_catalogue() -> None:
    keys = list(statistics.of(*curves.peers_case()))
    rows = documented()
    assert sorted(keys) == sorted(catalogue.ENTRIES)
    assert [row[0].strip("`") for row in rows] == [entry.key for entry in catalogue.ENTRIES.values()]
    assert all(len(row) == 5 and all(row) for row in rows), "key, meaning, unit, formula, source"
    assert [row[2] for row in rows] == [entry.unit for entry in catalogue.ENTRIES.values()]


def test_a_search_gets_the_same_figures_as_a_report() -> None:
    result, candles = curves.peers_case()
    core, everything = statistics.core(result), statistics.of(result, candles)
    assert core == {key: everything[key] for key in core}
    assert {"sharpe", "cagr_pct", "calmar", "sortino", "profit_factor", "sqn", "final_equity"} <= set(core)


def test_a_drawdown_by_hand() -> None:
    found = figures([100, 120, 90, 108, 120, 130, 117])
    assert found["max_drawdown_pct"] == pytest.approx(25.0)
    assert found["max_drawdown_from"] == "2021-01-05T00:00:00Z"
    assert found["max_drawdown_at"] == "2021-01-06T00:00:00Z"
    assert found["drawdowns"] == 2
    assert found["average_drawdown_pct"] == pytest.approx((25.0 + 10.0) / 2)
    assert found["longest_drawdown_days"] == 3  # from the 120 to the next 120
    assert found["average_drawdown_days"] == 2  # and from the 130 to the end
    assert found["current_drawdown_pct"] == pytest.approx(10.0)
    assert found["under_water_pct"] == pytest.approx(300 / 7)
    assert found["ulcer_index_pct"] == pytest.approx(math.sqrt((25**2 + 10**2 + 10**2) / 7))
    assert found["recovery_factor"] == pytest.approx(17 / 25)
    assert (found["peak_equity"], found["lowest_equity"]) == (130, 90)


def test_ratios_by_hand() -> None:
    returns = np.array([0.02, -0.01, 0.03, -0.02, 0.01])
    found = figures(100 * np.cumprod(np.concatenate(([1.0], 1 + returns))))
    assert found["samples_a_year"] == 252
    assert found["sharpe"] == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(252))
    assert found["sharpe_simple_252"] == pytest.approx(found["sharpe"])
    assert found["sortino"] == pytest.approx(returns.mean() / math.sqrt(5e-4 / 5) * math.sqrt(252))
    assert found["omega"] == pytest.approx(0.06 / 0.03)
    assert found["gain_to_pain"] == pytest.approx(0.03 / 0.03)
    assert found["win_days_pct"] == pytest.approx(60)
    assert (found["longest_winning_run"], found["longest_losing_run"]) == (1, 1)


def test_a_curve_of_minutes_has_the_sharpe_ratio_of_its_days() -> None:
    """The same path, told by minutes or by days, is worth the same: the size of the bars is no skill."""
    by_day = curves.walk(7919, 40)
    at = curves.every(DAY, 40)
    path = np.concatenate([np.linspace(a, b, 1440, endpoint=False) for a, b in itertools.pairwise(by_day)])
    # The last minute of each day holds what the daily curve has.
    path[1439::1440] = by_day[1:]
    minutes = figures(np.concatenate((by_day[:1], path)), curves.every(MINUTE, len(path) + 1, MONDAY + DAY - MINUTE))
    days = figures(by_day, at)
    assert minutes["sampled_by"] == "day"
    assert minutes["samples_a_year"] == days["samples_a_year"] == 365
    assert minutes["sharpe"] == pytest.approx(days["sharpe"])
    assert minutes["max_drawdown_pct"] >= days["max_drawdown_pct"]


@pytest.mark.parametrize("bars", [300, 3_000])
def test_a_day_or_two_of_minutes_give_a_sane_ratio(bars: int) -> None:
    """backtesting.py prints -1,326 for 3,000 minutes and NaN for one day."""
    rng = np.random.default_rng(1)
    found = figures(1e5 * np.cumprod(1 + rng.normal(0, 1e-4, bars)), curves.every(MINUTE, bars))
    assert found["sampled_by"] == "bar"
    assert abs(found["sharpe"]) < 60
    assert found["cagr_pct"] is None, "a year cannot be told from less than a week"
    assert found["calmar"] is None


@pytest.mark.parametrize(
    ("at", "seconds", "a_year"),
    [
        pytest.param(curves.weekdays(100), DAY, 252, id="daily, no weekends"),
        pytest.param(curves.every(DAY, 100), DAY, 365, id="daily, weekends too"),
        pytest.param(curves.every(7 * DAY, 100), 7 * DAY, 365.25 / 7, id="weekly"),
        pytest.param(curves.every(3600, 24 * 20), 3600, 365 * 24, id="hourly round the clock, few days"),
        pytest.param(curves.every(3600, 24 * 40), 3600, 365, id="hourly round the clock, by day"),
        pytest.param(
            np.concatenate([day + 34_200 + MINUTE * np.arange(390) for day in curves.weekdays(10)]),
            MINUTE,
            252 * 390,
            id="sessions of 390 minutes",
        ),
    ],
)
def test_how_many_returns_make_a_year(at: np.ndarray, seconds: int, a_year: float) -> None:
    sampled = sampling.of(at, np.linspace(100, 110, len(at)), seconds)
    assert sampled.a_year == pytest.approx(a_year)
    assert sampling.bar_seconds_of(at) == seconds


def test_months_multiply_to_the_whole_return() -> None:
    equity, at = curves.walk(7919), curves.weekdays()
    for periods in (months.by_day, months.by_month, months.by_quarter, months.by_year):
        assert np.prod(1 + periods(at, equity).returns) == pytest.approx(equity[-1] / equity[0])
    assert [str(each) for each in months.by_year(at, equity).began] == ["2021", "2022", "2023"]
    assert str(months.by_month(at, equity).began[0]) == "2021-01"


def test_trailing_windows_begin_on_the_same_day_months_before() -> None:
    at = curves.every(DAY, 800)
    equity = np.linspace(100, 180, 800)
    found = figures(equity, at)
    last = np.datetime64(int(at[-1]), "s").astype("datetime64[D]")
    assert str(last) == "2023-03-14"
    base = equity[int((np.datetime64("2022-12-14") - np.datetime64("2021-01-04")).astype(int)) - 1]
    assert found["return_3m_pct"] == pytest.approx(100 * (180 / base - 1))
    base = equity[int((np.datetime64("2023-02-28") - np.datetime64("2021-01-04")).astype(int))]
    assert found["return_mtd_pct"] == pytest.approx(100 * (180 / base - 1))
    assert found["return_1y_pct"] is not None
    assert found["return_3y_pct"] is None


def test_time_in_the_market_counts_overlaps_once_and_what_is_open() -> None:
    held = Holding(instrument=0, side=1, entry_bar=8, entry_price=100.0, size=1.0, value=100.0)
    result = curves.result(np.full(10, 100.0), trades=curves.trades([0, 2, 1], [2, 4, 3]), open=(held,))
    assert rounds.bars_held(result) == 5 + 2
    assert statistics.core(result)["exposure_pct"] == pytest.approx(70)


def test_trades_by_hand() -> None:
    made = curves.trades(
        [0, 2, 4, 6], [1, 3, 5, 8], side=[1, 1, -1, 1], size=[1.0, 2.0, 1.0, 1.0], pnl=[10.0, -8.0, -2.0, 6.0],
        entry_fee=[1.0] * 4, exit_fee=[0.5] * 4, carry=[0.0, 0.0, 2.0, 0.0], mae=[-0.01] * 4, mfe=[0.03] * 4,
    )  # fmt: skip
    found = figures(np.linspace(100, 106, 10), trades=made)
    assert found["win_rate_pct"] == 50
    assert found["profit_factor"] == pytest.approx(1.6)
    assert found["expectancy"] == pytest.approx(1.5)
    assert found["payoff_ratio"] == pytest.approx(8 / 5)
    assert found["kelly_pct"] == pytest.approx(100 * (0.5 - 0.5 / 1.6))
    assert found["sqn"] == pytest.approx(2 * 1.5 / np.std([10, -8, -2, 6], ddof=1))
    assert (found["best_trade_pct"], found["worst_trade_pct"]) == (pytest.approx(10), pytest.approx(-4))
    assert (found["longest_win_streak"], found["longest_loss_streak"]) == (1, 2)
    assert (found["long_trades"], found["short_trades"], found["short_pnl"]) == (3, 1, -2)
    assert (found["fees_total"], found["carry_total"]) == (6, 2)
    assert found["pnl_before_costs"] == pytest.approx(6 + 6 + 2)
    assert found["fees_of_gross_profit_pct"] == pytest.approx(100 * 6 / (11.5 + 1.5 + 7.5))
    assert found["edge_ratio"] == pytest.approx(3)
    assert found["longest_trade_days"] == 2


@pytest.mark.parametrize(
    ("slippage", "value", "cost"),
    [("none", 0.0, 0.0), ("fixed", 0.5, 2 * 0.5), ("percent", 0.01, 1.0 + 1.2), ("spread", 0.02, 1.0 + 1.2)],
)
def test_the_slippage_of_a_fill_is_what_the_market_was_better(slippage: str, value: float, cost: float) -> None:
    """The market stood at 100 and at 120; the fills are worse by the model."""
    worse = {"fixed": (100.5, 119.5), "none": (100.0, 120.0)}.get(slippage, (101.0, 118.8))
    made = curves.trades([1], [3], entry_price=[worse[0]], exit_price=[worse[1]], pnl=[worse[1] - worse[0]])
    rules = Conventions(cash=100.0, slippage=slippage, slippage_value=value)
    assert figures(np.full(5, 100.0), trades=made, conventions=rules)["slippage_estimate"] == pytest.approx(cost)


def test_slippage_by_volume_share_looks_at_the_bar_before_the_fill() -> None:
    made = curves.trades([1], [3], size=[10.0], entry_price=[101.0], exit_price=[120.0 * 0.99], pnl=[0.0])
    rules = Conventions(cash=100.0, slippage="volume-share", slippage_value=1.0)
    result = curves.result(np.full(5, 100.0), trades=made, conventions=rules)
    candles = curves.candles(np.full(5, 100.0), result.at, volume=100.0)  # a tenth of the volume: 1 %
    assert statistics.of(result, candles)["slippage_estimate"] == pytest.approx(10 * (1.0 + 1.2))


def test_more_trials_make_the_same_ratio_less_sure() -> None:
    result, candles = curves.peers_case()
    sure = [statistics.of(result, candles, trials=count)["sharpe_deflated_pct"] for count in (1, 2, 10, 1_000)]
    assert sure[0] is None
    assert sure[1] > sure[2] > sure[3]
    assert sure[1] < statistics.of(result, candles)["sharpe_probabilistic_pct"]
    wider = statistics.of(result, candles, trials=10, trial_variance=0.01)["sharpe_deflated_pct"]
    assert wider < sure[2]


def test_the_deflated_ratio_is_the_published_one() -> None:
    """Bailey and Lopez de Prado (2014), their example: the best of 100 trials, 2.5 a year over 1,250 days."""
    hurdle = math.sqrt(0.5 / 250) * ratios._best_of(100)
    assert hurdle == pytest.approx(0.1132, abs=1e-4)
    assert ratios._surely_above(2.5 / math.sqrt(250), hurdle, 1250, -3.0, 7.0) == pytest.approx(0.9004, abs=1e-4)


def test_a_risk_free_rate_lowers_what_was_earned_for_risk() -> None:
    result, candles = curves.peers_case()
    free, dear = statistics.of(result, candles), statistics.of(result, candles, risk_free=0.05)
    hurdle = 100 * (1.05 ** (1 / 252) - 1) * 252 / free["annual_volatility_pct"]
    assert dear["sharpe"] == pytest.approx(free["sharpe"] - hurdle)
    assert dear["sortino"] < free["sortino"]
    assert statistics.core(result, risk_free=0.05)["sharpe"] == dear["sharpe"]


def test_a_benchmark_that_is_the_curve_itself_leaves_nothing_to_explain() -> None:
    result, candles = curves.peers_case()
    found = statistics.of(result, candles, benchmark=result.equity)
    assert (found["beta"], found["correlation"]) == (pytest.approx(1), pytest.approx(1))
    assert found["alpha_pct"] == pytest.approx(0, abs=1e-9)
    assert found["excess_return_pct"] == pytest.approx(0, abs=1e-9)
    assert found["tracking_error_pct"] == pytest.approx(0, abs=1e-9)
    assert (found["up_capture_pct"], found["down_capture_pct"]) == (pytest.approx(100), pytest.approx(100))
    assert found["benchmark"] == "given"


def test_several_instruments_are_held_in_equal_parts() -> None:
    at = curves.every(DAY, 3)
    one, other = curves.candles([100, 110, 120], at), curves.candles([50, 50, 40], at)
    found = statistics.of(curves.result([100.0, 100.0, 100.0], at), [one, other])
    assert found["buy_and_hold_return_pct"] == pytest.approx((20 - 20) / 2)
    assert statistics.buy_and_hold([one, other]).tolist() == pytest.approx([1.0, 1.05, 1.0])


@pytest.mark.parametrize(
    "equity",
    [
        pytest.param([100.0], id="one bar"),
        pytest.param([100.0, 101.0], id="two bars"),
        pytest.param([100.0] * 50, id="flat"),
        pytest.param([100.0, 50.0, 0.0, 0.0, 0.0], id="ruined"),
        pytest.param([100.0, 20.0, -30.0, 10.0, -5.0], id="below zero and back"),
        pytest.param(np.linspace(100, 200, 50), id="only up"),
    ],
)
def test_what_does_not_exist_is_none_and_never_nan(equity: object) -> None:
    found = figures(equity)
    assert "NaN" not in json.dumps(found)
    assert "Infinity" not in json.dumps(found)
    assert sorted(found) == sorted(catalogue.ENTRIES)


def test_a_flat_curve_has_no_ratio() -> None:
    found = figures([100.0] * 50)
    assert [found[key] for key in ("sharpe", "sortino", "calmar", "omega", "skew", "beta")] == [None] * 6
    assert (found["max_drawdown_pct"], found["drawdowns"], found["return_pct"]) == (0, 0, 0)


def test_a_fall_below_zero_is_more_than_everything() -> None:
    assert figures([100.0, 20.0, -30.0])["max_drawdown_pct"] == pytest.approx(130)
    assert figures([100.0, 20.0, -30.0])["annual_return_pct"] == pytest.approx(-100)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-50, 1_000).map(float), min_size=2, max_size=60).filter(lambda each: each[0] > 0))
def test_one_pass_finds_what_the_definitions_say(values: list[float]) -> None:
    equity = np.array(values)
    at = curves.every(DAY, len(values))
    walked = curve.of(at, equity)
    peaks = np.maximum.accumulate(equity)
    depths = 1 - equity / peaks
    assert walked.deepest == pytest.approx(depths.max(), abs=1e-12)
    assert walked.peak == equity.max()
    assert walked.lowest == equity.min()
    assert walked.under_water == np.count_nonzero(equity < peaks)
    assert walked.depth_squares == pytest.approx((depths**2).sum())
    assert walked.depth_total == pytest.approx(depths.sum(), abs=1e-9)
    at_peak = np.flatnonzero(equity >= peaks)
    edges = np.append(at_peak, len(values) - 1)
    lengths = [b - a for a, b in itertools.pairwise(edges) if np.any(equity[a : b + 1] < peaks[a : b + 1])]
    assert walked.falls == len(lengths)
    assert walked.seconds_longest == max(lengths, default=0) * DAY
    assert walked.seconds_sum == sum(lengths) * DAY


def test_the_figures_of_a_search_cost_next_to_nothing() -> None:
    """Measured 2.2 to 2.7 ns a bar alone on a core; the limit leaves room for a busy machine."""
    rng = np.random.default_rng(1)
    equity = 1e5 * np.exp(np.cumsum(rng.normal(0, 1e-4, 1_000_000)))
    entry = np.arange(0, 990_000, 400)
    result = curves.result(equity, curves.every(MINUTE, len(equity)), trades=curves.trades(entry, entry + 50))
    statistics.core(result)
    times = []
    for _ in range(7):
        began = time.process_time()
        statistics.core(result)
        times.append(time.process_time() - began)
    assert min(times) / len(equity) < 15e-9


def test_formulas_in_the_docs_name_no_unknown_key() -> None:
    named = {key for row in documented() for cell in row[1:] for key in re.findall(r"`([a-z_0-9]+)`", cell)}
    assert named - set(catalogue.ENTRIES) == set()
