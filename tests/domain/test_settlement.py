"""How a position is left: order, quantities, prices, and what remains."""

import random
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain.fills import Costs
from apps.domain.settlement import Left, Superseded, part_of, settle
from apps.domain.sides import Side
from tests.domain.values import NOW, break_even, due, holding, market, stop, target, terms, time_stop, trailing

LONG, SHORT = Side.LONG, Side.SHORT
HALF = Decimal("0.5")


def names(answers: list[Left | Superseded]) -> list[tuple[int, str]]:
    return [(a.exit_id, "left" if isinstance(a, Left) else a.why) for a in answers]


def test_the_stop_is_first_when_one_tick_triggers_stop_and_target() -> None:
    """Only possible with a target amended below the stop, and still the order is stated."""
    exits = [due(1, target("90"), "95"), due(2, stop("99"), "95")]
    answers = settle(holding(), exits, None, terms())
    assert names(answers) == [(2, "left"), (1, "the position was closed by an earlier exit")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("kill_switch", "risk"),
        ("risk", "stop_loss"),
        ("stop_loss", "break_even"),
        ("break_even", "trailing_stop"),
        ("trailing_stop", "time_stop"),
        ("time_stop", "manual"),
        ("manual", "api"),
        ("api", "take_profit"),
    ],
)
def test_on_one_instant_what_protects_comes_first(first: str, second: str) -> None:
    exits = [due(1, None, None, reason=second), due(2, None, None, reason=first)]
    answers = settle(holding(), exits, market("100"), terms())
    assert names(answers)[0] == (2, "left")


def test_the_earlier_price_comes_first_whatever_the_leg() -> None:
    later = NOW + timedelta(milliseconds=1)
    exits = [due(1, stop("99"), "99", tick_at=later), due(2, target("101"), "101")]
    assert names(settle(holding(), exits, None, terms()))[0] == (2, "left")


def test_equal_exits_go_in_the_order_they_were_written() -> None:
    half = target("101", fraction=HALF)
    answers = settle(holding(), [due(7, half, "101"), due(3, half, "101")], None, terms())
    assert [answer.exit_id for answer in answers] == [3, 7]


def test_a_gap_through_the_stop_fills_at_the_market_not_at_the_stop() -> None:
    (left,) = settle(holding(), [due(1, stop("99"), "90")], None, terms())
    assert isinstance(left, Left)
    assert (left.price, left.pnl) == (Decimal(90), Decimal(-10))


def test_a_target_jumped_over_fills_at_the_better_price() -> None:
    (left,) = settle(holding(SHORT), [due(1, target("95"), "90")], None, terms())
    assert isinstance(left, Left)
    assert (left.price, left.pnl) == (Decimal(90), Decimal(10))


def test_slippage_and_fee_go_against_the_trader() -> None:
    costs = Costs(fee_rate=Decimal("0.001"), slippage_rate=Decimal("0.01"))
    for side, price, pnl in ((LONG, "94.05", "-5.95"), (SHORT, "95.95", "4.05")):
        exits = [due(1, None, "95")]
        (left,) = settle(holding(side), exits, None, terms(costs=costs))
        assert isinstance(left, Left)
        assert (left.price, left.pnl) == (Decimal(price), Decimal(pnl))
        assert left.fee == Decimal(price) / 1000


REFUSALS = {
    "a stop the price did not reach": (LONG, due(1, stop("99"), "99.01"), "did not cross"),
    "a short target not reached": (SHORT, due(1, target("95"), "95.01"), "did not cross"),
    "a trail with a lower best price": (LONG, due(1, trailing("2"), "98.5", peak=Decimal(100)), "did not cross"),
    "a break-even that never woke": (LONG, due(1, break_even("100", "105"), "99"), "did not cross"),
    "a leg amended away": (LONG, due(1, stop("99"), "98", leg_is_live=False), "no longer live"),
}


@pytest.mark.parametrize(("side", "exit_", "why"), REFUSALS.values(), ids=REFUSALS)
def test_what_the_locked_row_does_not_confirm_is_superseded_with_a_reason(side: Side, exit_, why: str) -> None:
    held = holding(side)
    (answer,) = settle(held, [exit_], market("100"), terms())
    assert isinstance(answer, Superseded)
    assert why in answer.why
    assert held.remaining == 1


def test_a_leg_is_confirmed_by_the_best_price_that_was_written_with_it() -> None:
    exits = [due(1, trailing("2"), "98", peak=Decimal(100))]
    assert names(settle(holding(), exits, None, terms())) == [(1, "left")]


# --- late, and without a price --------------------------------------------------------------------------------------


def test_an_exit_in_time_fills_at_the_price_that_crossed() -> None:
    (left,) = settle(holding(), [due(1, stop("99"), "98")], market("90", seconds=4), terms(at=4))
    assert isinstance(left, Left)
    assert (left.price, left.late) == (Decimal(98), False)


@pytest.mark.parametrize(("side", "price"), [(LONG, "89.5"), (SHORT, "90.5")])
def test_a_late_exit_fills_at_the_quote_then_in_force_and_says_so(side: Side, price: str) -> None:
    level = stop("99") if side is LONG else stop("101")
    crossed = "98" if side is LONG else "102"
    quote = market("90", "89.5", "90.5", seconds=8)
    (left,) = settle(holding(side), [due(1, level, crossed)], quote, terms(at=9))
    assert isinstance(left, Left)
    assert (left.price, left.late) == (Decimal(price), True)


def test_a_late_exit_with_no_newer_quote_fills_at_its_own_price() -> None:
    (left,) = settle(holding(), [due(1, stop("99"), "98")], market("90", seconds=-1), terms(at=60))
    assert isinstance(left, Left)
    assert (left.price, left.late) == (Decimal(98), False)


def test_a_person_leaves_at_the_bid_and_a_short_at_the_ask() -> None:
    quote = market("100", "99.5", "100.5")
    for side, price in ((LONG, "99.5"), (SHORT, "100.5")):
        (left,) = settle(holding(side), [due(1, None, None)], quote, terms())
        assert isinstance(left, Left)
        assert left.price == Decimal(price)


def test_a_time_stop_leaves_at_the_market() -> None:
    (left,) = settle(holding(), [due(1, time_stop(NOW), None)], market("97"), terms())
    assert isinstance(left, Left)
    assert left.price == 97


def test_an_exit_that_needs_a_market_waits_while_there_is_none_and_the_others_go_on() -> None:
    held = holding()
    answers = settle(held, [due(1, None, None), due(2, stop("99", fraction=HALF), "98")], None, terms())
    assert names(answers) == [(2, "left")]
    assert held.remaining == HALF


def test_leaving_at_a_quote_of_long_ago_is_called_late() -> None:
    (left,) = settle(holding(), [due(1, None, None)], market("97", seconds=-60), terms())
    assert isinstance(left, Left)
    assert left.late


# --- parts ----------------------------------------------------------------------------------------------------------
PARTS = {
    "all": ("1", "1", "0.01", "1"),
    "half": ("1", "0.5", "0.01", "0.5"),
    "a third is rounded down to lots": ("1", "0.33333333", "0.01", "0.33"),
    "one lot may stay": ("1", "0.995", "0.01", "0.99"),
    "no rest below one lot stays": ("1.005", "1", "0.01", "1.005"),
    "a whole unit of three": ("3", "0.5", "1", "1"),
    "at least one lot": ("3", "0.1", "1", "1"),
    "an awkward lot": ("0.9", "0.5", "0.3", "0.3"),
    "the only lot": ("0.3", "0.5", "0.3", "0.3"),
}


@pytest.mark.parametrize(("quantity", "fraction", "lot", "part"), PARTS.values(), ids=PARTS)
def test_a_leg_leaves_its_fraction_in_whole_lots(quantity: str, fraction: str, lot: str, part: str) -> None:
    assert part_of(holding(quantity=quantity), Decimal(fraction), Decimal(lot)) == Decimal(part)


def test_the_last_part_takes_the_cost_that_is_left_so_that_nothing_remains_in_the_books() -> None:
    held = holding(quantity="0.3", entry="0.00000001")
    held.cost = Decimal("0.00000001")  # 0.3e-8, rounded up by the opening
    thirds = [due(i, target("1", fraction=Decimal("0.34")), "1") for i in range(3)]
    settle(held, thirds, None, terms(lot="0.1"))
    assert (held.remaining, held.cost) == (0, 0)


lots = st.sampled_from(["1", "0.1", "0.01", "0.00000001", "0.3", "0.07", "25"])


@given(
    st.sampled_from(Side), lots, st.integers(1, 5000), st.integers(1, 10**6), st.integers(1, 6), st.integers(0, 2**32)
)
def test_what_is_left_adds_up_and_never_goes_below_zero(
    side: Side, lot: str, count: int, entry: int, legs: int, seed: int
) -> None:
    chance = random.Random(seed)
    held = holding(side, str(Decimal(lot) * count), str(Decimal(entry) / 100))
    opened, cost = held.quantity, held.cost
    exits = []
    for number in range(legs):
        fraction = Decimal(chance.randint(1, 100_000_000)) / 100_000_000
        price = str(Decimal(chance.randint(1, 2 * entry)) / 100)
        leg = target("0.01" if side is LONG else "100000", fraction=fraction)
        at = NOW + timedelta(milliseconds=chance.randint(0, 3))
        exits.append(due(number, leg, price, tick_at=at))
    exits.append(due(99, None, "50", tick_at=NOW + timedelta(seconds=1)))
    costs = Costs(fee_rate=Decimal("0.001"), slippage_rate=Decimal("0.0001"))
    answers = settle(held, exits, None, terms(costs=costs, lot=lot))
    left = [answer for answer in answers if isinstance(answer, Left)]
    assert len(answers) == len(exits)
    assert (held.remaining, held.cost) == (0, 0)
    assert sum(item.quantity for item in left) == opened
    assert all(item.quantity > 0 and item.quantity % Decimal(lot) == 0 for item in left)
    assert sum(item.line.holdings for item in left) == -cost * side.sign
    for item in left:
        line = item.line
        assert line.cash + line.holdings + line.fees + line.pnl + line.capital == 0
        assert line.pnl == -item.pnl
        assert item.fee == line.fees >= 0
