"""What a fill costs, and that every ledger line sums to zero."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import fills, numbers
from apps.domain.fills import Costs, Line

TICK = Decimal("0.01")


def costs(slippage: str = "0", fee: str = "0", slippage_fixed: str = "0", fee_fixed: str = "0") -> Costs:
    return Costs(
        slippage_rate=Decimal(slippage),
        fee_rate=Decimal(fee),
        slippage_fixed=Decimal(slippage_fixed),
        fee_fixed=Decimal(fee_fixed),
    )


SLIPPED = {
    "a free buy": (1, "100", costs(), "100"),
    "a free sale": (-1, "100", costs(), "100"),
    "a buy pays more": (1, "100", costs("0.001"), "100.1"),
    "a sale gets less": (-1, "100", costs("0.001"), "99.9"),
    "a buy rounds up": (1, "100", costs("0.00001"), "100.01"),
    "a sale rounds down": (-1, "100", costs("0.00001"), "99.99"),
    "fixed on top of the rate": (1, "100", costs("0.001", slippage_fixed="0.25"), "100.35"),
    "never below one tick": (-1, "0.02", costs(slippage_fixed="5"), "0.01"),
    "a price off the grid": (-1, "100.005", costs(), "100.00"),
}


@pytest.mark.parametrize(("sign", "price", "of", "filled"), SLIPPED.values(), ids=SLIPPED)
def test_a_fill_is_worse_by_the_slippage_and_on_the_grid(sign: int, price: str, of: Costs, filled: str) -> None:
    assert fills.slipped(sign, Decimal(price), of, TICK) == Decimal(filled)


@pytest.mark.parametrize(
    ("of", "fee"),
    [
        (costs(fee="0.001"), "6.18003"),
        (costs(fee_fixed="1.5"), "1.5"),
        (costs(fee="0.001", fee_fixed="1.5"), "7.68003"),
        (costs(), "0"),
    ],
)
def test_a_fee_is_a_rate_of_the_notional_plus_a_fixed_part(of: Costs, fee: str) -> None:
    assert fills.fee(Decimal("61800.3"), Decimal("0.1"), of) == Decimal(fee)


prices = st.decimals("0.01", "1000000", places=2)
quantities = st.decimals("0.00000001", "100000", places=8)
rates = st.decimals("0", "0.1", places=8)
signs = st.sampled_from([1, -1])


def total(line: Line) -> Decimal:
    return line.cash + line.holdings + line.fees + line.pnl + line.capital


@given(signs, prices, quantities, rates)
def test_an_opening_line_sums_to_zero(sign: int, price: Decimal, quantity: Decimal, rate: Decimal) -> None:
    paid = fills.fee(price, quantity, costs(fee=str(rate)))
    line = fills.opening(sign, price, quantity, paid)
    assert total(line) == 0
    assert line.holdings == numbers.money(price * quantity) * sign
    assert line.cash == -line.holdings - paid


@given(signs, prices, prices, quantities, rates)
def test_a_closing_line_sums_to_zero(
    sign: int, entry: Decimal, price: Decimal, quantity: Decimal, rate: Decimal
) -> None:
    basis, proceeds = numbers.money(entry * quantity), numbers.money(price * quantity)
    line = fills.closing(sign, basis, proceeds, fills.fee(price, quantity, costs(fee=str(rate))))
    assert total(line) == 0
    assert -line.pnl == (proceeds - basis) * sign  # the books owe the owner the profit


@given(signs, prices, rates, st.sampled_from(["0.01", "0.5", "0.003", "1"]))
def test_slippage_never_helps_and_stays_within_a_tick(sign: int, price: Decimal, rate: Decimal, tick: str) -> None:
    step = Decimal(tick)
    exact = price + sign * price * rate
    filled = fills.slipped(sign, price, costs(str(rate)), step)
    assert filled % step == 0
    assert filled >= step
    assert (filled - exact) * sign >= 0 or filled == step
    assert abs(filled - exact) < step or filled == step
