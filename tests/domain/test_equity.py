"""Growth and falls of an account with deposits taken out."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import equity
from apps.domain.equity import Step

D = Decimal
amounts = st.decimals("0.01", "1000000", places=2)


@pytest.mark.parametrize(
    ("before", "worth", "paid", "grown"),
    [
        pytest.param("0", "100", "100", "1", id="the first deposit is no profit"),
        pytest.param("100", "150", "50", "1", id="a later one neither"),
        pytest.param("100", "110", "0", "1.1", id="a profit"),
        pytest.param("100", "40", "-50", "0.9", id="a withdrawal is no loss"),
        pytest.param("0", "0", "0", "1", id="nothing at work"),
        pytest.param("100", "0", "-100", "1", id="all of it withdrawn"),
    ],
)
def test_growth_leaves_deposits_out(before: str, worth: str, paid: str, grown: str) -> None:
    assert equity.growth(D(before), Step(D(worth), D(paid))) == D(grown)


@given(amounts, st.lists(st.decimals("-1000", "1000", places=2), max_size=20))
def test_whatever_is_paid_in_and_out_without_trading_nothing_was_gained_or_lost(first: D, moves: list[D]) -> None:
    worth, steps = first, [Step(first, first)]
    for move in moves:
        paid = max(move, -worth)
        worth += paid
        steps.append(Step(worth, paid))
    found = equity.index(steps)
    assert all(abs(value - 1) < D("1e-15") for value in found)
    assert all(depth < D("1e-15") for depth in equity.depths(found))


@given(st.lists(amounts, min_size=1, max_size=20))
def test_without_deposits_the_index_is_the_equity(worths: list[D]) -> None:
    found = equity.index([Step(worth, D(0)) for worth in worths], before=worths[0])
    assert all(
        abs(value - worth / worths[0]) < D("1e-15") * max(worths) for value, worth in zip(found, worths, strict=True)
    )


def test_depths_are_below_the_highest_so_far() -> None:
    assert equity.depths([D("1.25"), D(1), D("1.25"), D("0.5")]) == [0, D("0.2"), 0, D("0.6")]
    assert equity.depths([D("0.9")]) == [D("0.1")]
