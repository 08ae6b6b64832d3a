"""The compiled loop against the slow model, over every combination of conventions, and what must hold of any run."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from apps.domain.backtests import engine, kernel, solo, terms
from apps.domain.backtests.conventions import Conventions, Order
from apps.domain.backtests.result import Result, Trades
from apps.domain.strategies.contract import Candles
from tests.domain import engine_cases, reference_rows
from tests.domain.engine_cases import Case, assert_same

SLOWLY = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
SOME = settings(SLOWLY, max_examples=60)


@SLOWLY
@given(engine_cases.cases(rich=False))
def test_one_instrument_trades_as_the_conventions_say(case: Case) -> None:
    assert_same(case.result(), case.slow())


@SLOWLY
@given(engine_cases.cases(rich=True, most=3))
def test_several_instruments_plans_finer_candles_and_limits_too(case: Case) -> None:
    assert_same(case.result(), case.slow())


@SOME
@given(engine_cases.cases(rich=False))
def test_the_fast_loop_gives_what_the_general_one_gives_to_the_last_bit(case: Case) -> None:
    rules = terms.rules(case.conventions, case.warmup, False, False, False)
    market = engine._market(case.markets, case.stances, case.conventions, None, None, None)
    results = []
    for loop in (solo.simulate, kernel.simulate):
        desk = engine._finished(market, engine._desk(market, rules, case.conventions, False), loop)
        results.append(engine._result(market, desk, case.conventions))
    assert_identical(*results)


@pytest.mark.parametrize("row", range(len(reference_rows.BRACKETS)))
def test_exact_arithmetic_decides_as_floats_do(row: int) -> None:
    """On prices with cents no trade of the reference conventions hangs on the rounding of floats."""
    market = engine_cases.candles(row, 400, wild=0.012)
    for canonical, table in reference_rows.TABLES:
        chosen = Conventions(**{**canonical, **table[row % len(table)].differs})
        stances = reference_rows.crossing(market.close, 3, 8)
        case = Case(conventions=chosen, markets=[market], stances=[stances], warmup=8)
        result = case.result()
        assert result.closed_trades > 5
        assert_same(result, case.slow(Decimal))


@SOME
@given(engine_cases.cases(rich=True, most=2), st.integers(1, 60))
def test_no_bar_changes_what_was_done_before_it(case: Case, bars: int) -> None:
    whole = case.result()
    assume(bars < len(whole.at))
    cut = shortened(case, bars).result()
    before = bars - 1  # on its last bar a run may end a position
    assert np.array_equal(cut.equity[:before], whole.equity[:before])
    early = [trades.exit_bar < before for trades in (cut.trades, whole.trades)]
    for one, other in zip(cut.trades, whole.trades, strict=True):
        assert np.array_equal(one[early[0]], other[early[1]], equal_nan=True)


@SOME
@given(engine_cases.cases(rich=True, most=2))
def test_a_run_is_the_same_each_time(case: Case) -> None:
    assert_identical(case.result(), case.result())


@SOME
@given(engine_cases.cases(rich=True, most=3))
def test_the_trades_and_what_is_open_account_for_every_cent(case: Case) -> None:
    result, c = case.result(), case.conventions
    # Fees and carry of what is still held are in no trade yet.
    costly = c.borrow_rate or c.funding_rate or case.funding is not None or c.fee_rate or c.fee_fixed
    assume(not (costly and result.open))
    open_gain = sum(each.value - each.side * each.size * each.entry_price for each in result.open)
    assert result.final_equity == pytest.approx(c.cash + result.trades.pnl.sum() + open_gain, rel=1e-9)


def test_a_list_of_trades_grows_as_it_must() -> None:
    bars = 20_000
    market = engine_cases.candles(3, bars, wild=0.012)
    chosen = Conventions(
        entries="level", stop_loss=0.005, take_profit=0.005, exit_on_signal=False, sizing="fixed", size=1
    )
    result = engine.run(market, np.ones(bars, np.int8), chosen)
    assert result.closed_trades > 5_000
    assert_same(result, Case(conventions=chosen, markets=[market], stances=[np.ones(bars, np.int8)]).slow(), near=1e-7)


def test_both_bounds_are_the_two_orders() -> None:
    market = engine_cases.candles(5, 500, wild=0.02)
    stances = engine_cases.stances(5, 500)
    chosen = Conventions(stop_loss=0.01, take_profit=0.01, order="adaptive", exit_on_signal=False)
    stop_first, target_first = engine.both_bounds(market, stances, chosen)
    assert stop_first.ambiguous_bars > 10
    assert stop_first.final_equity < target_first.final_equity
    assert_identical(stop_first, engine.run(market, stances, replace(chosen, order=Order.STOP)))


def test_the_worst_and_best_of_a_trade_are_those_of_its_bars() -> None:
    result = engine.run(engine_cases.candles(6, 300), engine_cases.stances(6, 300), Conventions(sides="both"))
    market, trades = engine_cases.candles(6, 300), result.trades
    assert trades.closed > 20
    for n in range(trades.closed):
        held = slice(trades.entry_bar[n], trades.exit_bar[n])
        prices = [*market.high[held], *market.low[held], trades.exit_price[n], trades.entry_price[n]]
        rates = [trades.side[n] * (price / trades.entry_price[n] - 1) for price in prices]
        assert trades.mae[n] == pytest.approx(min(rates))
        assert trades.mfe[n] == pytest.approx(max(rates))


def test_reference_rows_are_read_from_any_file(tmp_path: Path) -> None:
    market = engine_cases.candles(8, 200)
    path = tmp_path / "candles.csv"
    lines = ["time,Open,High,Low,Close,Volume"]
    times = np.datetime_as_string(market.at.astype("datetime64[s]"))
    lines += [",".join(map(str, row)) for row in zip(times, *market[1:], strict=True)]
    path.write_text("\n".join(lines))
    assert all(np.array_equal(one, other) for one, other in zip(reference_rows.candles(path), market, strict=True))
    assert len(reference_rows.check(path)) >= 24, "other candles give other figures"


def shortened(case: Case, bars: int) -> Case:
    cut = {
        "markets": [Candles(*(column[:bars] for column in market)) for market in case.markets],
        "stances": [column[:bars] for column in case.stances],
    }
    if case.plan:
        cut["plan"] = type(case.plan)(*(part[:bars] for part in case.plan))
    if case.funding is not None:
        cut["funding"] = case.funding[:bars]
    if case.detail:
        inside = case.detail.at < case.markets[0].at[bars]
        cut["detail"] = Candles(*(column[inside] for column in case.detail))
    return replace(case, **cut)


def assert_identical(one: Result, other: Result) -> None:
    assert all(np.array_equal(a, b) for a, b in zip(one.trades, other.trades, strict=True))
    assert np.array_equal(one.equity, other.equity)
    assert (one.open, one.rejected, one.ambiguous_bars) == (other.open, other.rejected, other.ambiguous_bars)
    assert isinstance(one.trades, Trades)
