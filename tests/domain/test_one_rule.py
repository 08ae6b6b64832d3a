"""One rule, two number types: what live trading decides with Decimal, the compiled functions decide with floats."""

from collections.abc import Callable
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.domain import fills, legs
from apps.domain.backtests import entering, prices

# In eighths, and few enough digits: floats write them and their products exactly.
amounts = st.integers(-8_000_000, 8_000_000).map(lambda n: Decimal(n) / 8)
levels = st.integers(1, 8_000_000).map(lambda n: Decimal(n) / 8)
rates = st.integers(0, 16).map(lambda n: Decimal(n) / 64)
UNTIMED = settings(deadline=None)  # a first call compiles
signs = st.sampled_from([1, -1])

SHARED: dict[str, tuple[Callable[..., Any], Callable[..., Any], int]] = {
    "stop_hit": (legs.stop_hit, prices.stop_hit, 2),
    "target_hit": (legs.target_hit, prices.target_hit, 2),
    "better": (legs.better, prices.better, 2),
    "level_at_rate": (legs.level_at_rate, prices.at_rate, 2),
    "trail_level": (legs.trail_level, prices.trail_level, 2),
    "trail_level_at_rate": (legs.trail_level_at_rate, prices.trail_level_at_rate, 2),
    "worse": (fills.worse, prices.worse, 3),
    "gain": (fills.gain, prices.gain, 2),
}


@pytest.mark.parametrize("name", SHARED)
def test_the_loop_compiles_the_functions_that_live_trading_calls(name: str) -> None:
    live, fast, _ = SHARED[name]
    assert fast.py_func is live  # numba keeps what it compiled


@pytest.mark.parametrize("name", SHARED)
@UNTIMED
@given(sign=signs, values=st.tuples(levels, rates | levels, rates))
def test_decimals_and_floats_agree(name: str, sign: int, values: tuple[Decimal, ...]) -> None:
    live, fast, count = SHARED[name]
    exact = live(sign, *values[:count])
    assert fast(sign, *map(float, values[:count])) == (exact if isinstance(exact, bool) else float(exact))


@UNTIMED
@given(levels, levels, rates, levels)
def test_fees_agree(price: Decimal, size: Decimal, rate: Decimal, fixed: Decimal) -> None:
    exact = fills.charge(price, size, rate, fixed)
    assert prices.charge(*map(float, (price, size, rate, fixed))) == pytest.approx(float(exact), rel=1e-15)


@UNTIMED
@given(st.integers(0, 10**12), st.integers(0, 4), st.integers(0, 4))
def test_halves_are_rounded_up_as_decimals_are(units: int, decimals: int, more: int) -> None:
    exact = Decimal(units).scaleb(-decimals - more)
    wanted = exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    assert prices.rounded(float(exact), decimals) == float(wanted)


@UNTIMED
@given(st.floats(0, 1e9), st.sampled_from([0.0, 0.001, 0.25, 1.0]))
def test_sizes_are_rounded_down_to_lots(size: float, lot: float) -> None:
    found = entering.in_lots(size, lot)
    assert found <= size * (1 + 1e-11)
    assert lot == 0 or size - found < lot
    if lot == 1.0 and abs(size - round(size)) > 1e-6:
        assert found == int(Decimal(size).to_integral_value(ROUND_FLOOR))
