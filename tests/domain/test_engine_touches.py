"""A touch, an order of two levels and a gain are those of decimals, though the loop reckons with floats."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from apps.domain.backtests import engine
from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.result import Reason, Result
from apps.domain.strategies.contract import Candles

CENTS = range(1, 20_000)


def one_entry(bars: list[tuple[float, float, float, float]], **chosen: Any) -> Result:
    """Buy at the open of the second bar; bars are open, high, low, close."""
    columns = [np.array(column, dtype=np.float64) for column in zip(*bars, strict=True)]
    at = np.arange(len(bars), dtype=np.int64) * 60
    stances = np.array([1, *[1] * (len(bars) - 1)], dtype=np.int8)
    conventions = Conventions(**{"slippage": "none", "cash": 1000.0, "exit_on_signal": False, **chosen})
    return engine.run(Candles._make([at, *columns, np.ones(len(bars))]), stances, conventions)


def reached(entry: Decimal, level: Decimal, **chosen: Any) -> Result:
    """Buy at `entry`; the bar after it goes to `level` and back."""
    price, other = float(entry), float(level)
    flat = (price, price, price, price)
    return one_entry([flat, flat, (price, max(price, other), min(price, other), price)], units="fractional", **chosen)


def missed(sign: int, rate: str) -> list[int]:
    """Return entries in cents whose level lies on a cent that floats do not come up to."""
    found = []
    for cents in CENTS:
        entry = Decimal(cents) / 100
        level = entry * (1 + sign * Decimal(rate))
        near = float(entry) * (1 + sign * float(rate))
        if level == round(level, 2) and (near - float(level)) * sign > 0:
            found.append(cents)
    return found


@pytest.mark.parametrize("rate", ["0.02", "0.04", "0.05", "0.1"])
def test_a_stop_is_touched_by_a_low_that_is_exactly_there(rate: str) -> None:
    difficult = missed(-1, rate)
    assert difficult  # else it shows nothing
    for cents in difficult[:40]:
        entry = Decimal(cents) / 100
        level = entry * (1 - Decimal(rate))
        trades = reached(entry, level, stop_loss=float(rate)).trades
        assert trades.reason.tolist() == [Reason.STOP_LOSS]
        assert trades.exit_price.tolist() == [float(level)]


@pytest.mark.parametrize("rate", ["0.02", "0.04", "0.05", "0.1"])
def test_a_target_is_touched_by_a_high_that_is_exactly_there(rate: str) -> None:
    difficult = missed(1, rate)
    assert difficult
    for cents in difficult[:40]:
        entry = Decimal(cents) / 100
        level = entry * (1 + Decimal(rate))
        trades = reached(entry, level, take_profit=float(rate)).trades
        assert trades.reason.tolist() == [Reason.TAKE_PROFIT]
        assert trades.exit_price.tolist() == [float(level)]


def test_a_price_a_cent_short_of_a_level_does_not_touch_it() -> None:
    for cents in missed(-1, "0.02")[:40]:
        entry = Decimal(cents) / 100
        above = entry * Decimal("0.98") + Decimal("0.01")
        assert reached(entry, above, stop_loss=0.02).closed_trades == 0


def test_distances_that_are_equal_in_decimals_are_no_nearer() -> None:
    opened, high, low = 10.05, 10.07, 10.03
    flat, wide = (opened, opened, opened, opened), (opened, high, low, opened)
    assert high - opened < opened - low  # floats say that the high is nearer
    result = one_entry([flat, flat, wide], stop_loss=0.001, take_profit=0.001, order="adaptive")
    assert result.trades.reason.tolist() == [Reason.STOP_LOSS]


def test_what_only_rounding_gained_is_no_win() -> None:
    """Bought at 10.10 and sold at 10.15: 5.00 for 100 units, and both fees together are 5.00."""
    bars = [(10.1, 10.1, 10.1, 10.1), (10.1, 10.1, 10.1, 10.1), (10.15, 10.15, 10.15, 10.15)]
    for size in range(1, 200):
        fixed = float(Decimal("0.05") * size / 2)
        result = one_entry(
            bars, cash=10_000.0, time_stop=1, sizing="fixed", size=float(size), fee_fixed=fixed, size_fee=False
        )
        assert result.trades.pnl.tolist() == [0.0], size
        assert result.win_rate_pct == 0.0
