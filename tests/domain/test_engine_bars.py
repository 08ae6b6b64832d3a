"""One position and one bar, by hand: where each convention fills."""

from typing import Any

import numpy as np
import pytest

from apps.domain.backtests import engine
from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.result import Reason, Result
from apps.domain.errors import Refused
from apps.domain.strategies.contract import Candles, ExitPlan

NET = {"tp_net": True, "fee_rate": 0.01}
HALF_A_UNIT = {"slippage": "fixed", "slippage_value": 0.5}
RESTING = {"maker_rate": 0.0, **HALF_A_UNIT}
FREE = {"slippage": "none", "units": "fractional", "exit_on_signal": False}
LEVELS = {**FREE, "stop_loss": 0.02, "take_profit": 0.04}
QUIET = (100.0, 100.5, 99.5, 100.0)

# conventions, side, the bar after the entry bar (open, high, low, close), exit price, reason
CASES: dict[str, tuple[dict[str, Any], int, tuple[float, ...], float, Reason]] = {
    "a touch of the stop counts": ({}, 1, (100, 101, 98, 99), 98.0, Reason.STOP_LOSS),
    "a touch of the target counts": ({}, 1, (100, 104, 99, 103), 104.0, Reason.TAKE_PROFIT),
    "both: the stop": ({}, 1, (100, 105, 97, 100), 98.0, Reason.STOP_LOSS),
    "both: the target": ({"order": "tp"}, 1, (100, 105, 97, 100), 104.0, Reason.TAKE_PROFIT),
    "adaptive: the nearer extreme": ({"order": "adaptive"}, 1, (101, 104, 97, 99), 104.0, Reason.TAKE_PROFIT),
    "adaptive: equally near": ({"order": "adaptive"}, 1, (101, 105, 97, 99), 98.0, Reason.STOP_LOSS),
    "a gap below the stop fills at the open": ({}, 1, (97, 99, 96, 98), 97.0, Reason.STOP_LOSS),
    "a gap at the level": ({"gap_sl": "level"}, 1, (97, 99, 96, 98), 98.0, Reason.STOP_LOSS),
    "a clamped gap reaches the level": ({"gap_sl": "clamp"}, 1, (97, 99, 96, 98), 98.0, Reason.STOP_LOSS),
    "a clamped gap lies beyond": ({"gap_sl": "clamp"}, 1, (97, 97.5, 96, 97), 97.0, Reason.STOP_LOSS),
    "a gap above the target fills at the open": ({}, 1, (106, 107, 103, 106), 106.0, Reason.TAKE_PROFIT),
    "a target at its level": ({"gap_tp": "level"}, 1, (106, 107, 103, 106), 104.0, Reason.TAKE_PROFIT),
    "a clamped target lies beyond": ({"gap_tp": "clamp"}, 1, (106, 107, 105, 106), 105.0, Reason.TAKE_PROFIT),
    "an open beyond the target comes first": ({}, 1, (105, 106, 97, 99), 105.0, Reason.TAKE_PROFIT),
    "unless the order rules": ({"open_first": False}, 1, (105, 106, 97, 99), 98.0, Reason.STOP_LOSS),
    "a short is stopped above": ({}, -1, (100, 102, 99, 101), 102.0, Reason.STOP_LOSS),
    "a short reaches its target below": ({}, -1, (100, 101, 96, 97), 96.0, Reason.TAKE_PROFIT),
    "a short gaps up": ({}, -1, (103, 104, 101, 102), 103.0, Reason.STOP_LOSS),
    "a short gaps beyond its clamp": ({"gap_tp": "clamp"}, -1, (94, 95, 93, 94), 95.0, Reason.TAKE_PROFIT),
    "a net target": (NET, 1, (100, 107, 99, 106), 104 * 1.01 / 0.99, Reason.TAKE_PROFIT),
    "a target with slippage": (HALF_A_UNIT, 1, (100, 106, 99, 105), 104.02, Reason.TAKE_PROFIT),
    "a resting target": (RESTING, 1, (100, 106, 99, 105), 104.52, Reason.TAKE_PROFIT),
    "a trailing stop after a high proved by the close": (
        {"trailing_stop": 0.01, "stop_loss": None}, 1, (100, 103, 100, 101), 103 * 0.99, Reason.TRAILING_STOP,
    ),
    "break-even woken and come back": (
        {"break_even": 0.02, "stop_loss": None}, 1, (100.5, 103, 99.9, 99.95), 100.0, Reason.BREAK_EVEN,
    ),
    "the time is up": ({"time_stop": 1}, 1, (101, 102, 100, 101), 101.0, Reason.TIME_STOP),
}  # fmt: skip


def market(*bars: tuple[float, ...]) -> Candles:
    columns = [np.array(column, float) for column in zip(*bars, strict=True)]
    return Candles(3600 * np.arange(len(bars), dtype=np.int64), *columns, np.full(len(bars), 1000.0))


def run(side: int, *bars: tuple[float, ...], more: dict[str, Any], **given: Any) -> Result:
    """Enter at the open of the second bar and go on with `bars` after it."""
    candles = market(QUIET, QUIET, *bars)
    stances = np.full(len(candles.at), side, np.int8)
    return engine.run(candles, stances, Conventions(**{**LEVELS, "sides": "both", **more}), **given)


@pytest.mark.parametrize(("more", "side", "bar", "price", "reason"), CASES.values(), ids=CASES)
def test_where_a_bar_is_left(
    more: dict[str, Any], side: int, bar: tuple[float, ...], price: float, reason: Reason
) -> None:
    trades = run(side, bar, more=more).trades
    assert [Reason(code) for code in trades.reason] == [reason]
    assert trades.exit_price[0] == pytest.approx(price, abs=1e-12)
    assert (trades.entry_bar[0], trades.exit_bar[0]) == (1, 2)


def test_the_bar_of_the_entry_is_protected_unless_it_is_not() -> None:
    bars = market(QUIET, (100, 101, 97, 100), (100, 100, 97.5, 99))
    long = np.ones(3, np.int8)
    for protected, exit_bar in ((True, 1), (False, 2)):
        trades = engine.run(bars, long, Conventions(**LEVELS, entry_bar=protected)).trades
        assert trades.exit_bar.tolist() == [exit_bar]


def test_finer_candles_say_which_level_came_first() -> None:
    coarse = (100, 105, 97, 100)
    up_then_down = [(100, 105, 100, 105), (105, 105, 97, 97), (97, 100, 97, 100)]
    finer = market(QUIET, QUIET, *up_then_down)._replace(at=np.array([0, 3600, 7200, 8400, 9600]))
    blind, seeing = run(1, coarse, more={}), run(1, coarse, more={}, detail=finer)
    assert Reason(blind.trades.reason[0]) is Reason.STOP_LOSS
    assert (blind.ambiguous_bars, blind.trades.ambiguous.tolist()) == (1, [True])
    assert Reason(seeing.trades.reason[0]) is Reason.TAKE_PROFIT
    assert seeing.ambiguous_bars == 0


def test_parts_leave_at_their_targets_and_the_rest_at_the_last() -> None:
    more = {"partial_exits": ((0.01, 0.5), (0.02, 0.25)), "units": "whole", "cash": 100_000.0}
    trades = run(1, (100, 101.5, 99.5, 101), (101, 102.5, 100, 102), (102, 105, 101, 104), more=more).trades
    assert trades.size.tolist() == [500, 250, 250]
    assert trades.exit_price.tolist() == [101.0, 102.0, 104.0]
    assert trades.exit_bar.tolist() == [2, 3, 4]


def test_a_plan_has_the_last_word_on_the_levels_of_its_entry() -> None:
    plan = ExitPlan(np.array([99.0, np.nan, np.nan]), np.full(3, np.nan), np.full(3, np.nan))
    trades = run(1, (100, 101, 98.9, 100), more={}, plan=plan).trades
    assert trades.exit_price.tolist() == [99.0]


def test_funding_and_borrowing_are_part_of_what_a_trade_earned() -> None:
    short = run(-1, QUIET, (100, 103, 99, 102), more={"borrow_rate": 0.365, "funding_rate": 0.001, "funding_hours": 1})
    hours = 2
    assert short.trades.carry[0] == pytest.approx(short.trades.size[0] * 100 * hours * (0.001 / 24 - 0.001))
    assert short.final_equity == pytest.approx(100_000 + short.trades.pnl[0])


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"cash": 50.0, "units": "whole"}, "size"),
        ({"sizing": "notional", "size": 100_001.0}, "cash"),
        ({"sizing": "risk", "size": 0.01, "stop_loss": None}, "no_stop"),
        ({"sizing": "volatility", "size": 0.01}, "no_deviation"),
        ({"limits": {"max_order_value": 500.0}}, "max_order_value"),
        ({"limits": {"max_position_size": 5.0}}, "max_position_size"),
        ({"limits": {"max_gross_exposure": 0.5}}, "max_gross_exposure"),
    ],
)
def test_an_entry_that_is_not_made_is_counted_with_its_reason(more: dict[str, Any], reason: str) -> None:
    candles, stances = market(*[QUIET] * 4), np.array([0, 1, 1, 1], np.int8)
    result = engine.run(candles, stances, Conventions.restored({**LEVELS, **more}))
    assert dict(result.rejected) == {reason: 1}
    assert result.final_equity == result.conventions.cash


def test_an_all_in_order_is_not_lost_to_a_rounding() -> None:
    """The textbook recipe elsewhere: cash ends at -1e-11, and every later order is dropped without a word."""
    bars = [(price, price + 1, price - 1, price) for price in np.linspace(99.37, 163.41, 400)]
    stances = np.arange(400, dtype=np.int64) // 2 % 2
    result = engine.run(market(*bars), stances.astype(np.int8), Conventions(units="fractional", fee_rate=0.002))
    assert result.closed_trades == 99
    assert set(result.rejected) <= {"last_bar"}


@pytest.mark.parametrize(("cash", "size"), [(100 * 100.1, 100.0), (0.1 * 3 * 1000, 3.0)])
def test_whole_units_that_floats_cannot_write_are_whole(cash: float, size: float) -> None:
    """0.1 times 3 times 1000 is 300.00000000000006 and 10010 over 100.1 is 100.00000000000001 or less."""
    price = cash / size
    result = engine.run(market(*[(price,) * 4] * 3), np.ones(3, np.int8), Conventions(cash=cash, slippage="none"))
    assert [each.size for each in result.open] == [size]


def test_arrays_that_do_not_fit_are_refused_with_every_problem() -> None:
    candles = market(*[QUIET] * 4)
    with pytest.raises(Refused, match="4 bars"):
        engine.run(candles, np.ones(3, np.int8), Conventions())
    with pytest.raises(Refused, match="1 instruments"):
        engine.run(candles, np.ones((4, 2), np.int8), Conventions())
    with pytest.raises(Refused, match="same bars"):
        engine.run([candles, candles._replace(at=candles.at + 1)], np.ones((4, 2), np.int8), Conventions())
