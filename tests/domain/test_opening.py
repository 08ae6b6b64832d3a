"""What may be opened: every rule on quantity and legs, and that each refusal says what to do."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from apps.domain import opening
from apps.domain.errors import Problem
from apps.domain.legs import Leg, LegKind
from apps.domain.sides import Side
from tests.domain.values import GRID, NOW, break_even, stop, target, time_stop, trailing

LONG, SHORT = Side.LONG, Side.SHORT
PRICE = Decimal(100)


def check(side: Side, *legs: Leg, quantity: str = "1") -> list[Problem]:
    return opening.problems(side, Decimal(quantity), legs, PRICE, GRID, NOW)


FINE = {
    "nothing but a quantity": (LONG, []),
    "long between its levels": (LONG, [stop("99.99"), target("100.01")]),
    "short between its levels": (SHORT, [stop("100.01"), target("99.99")]),
    "a trail": (LONG, [trailing("0.01")]),
    "a trail by rate": (SHORT, [trailing("0.000000000001", rate=True)]),
    "a short trail longer than the price": (SHORT, [trailing("150")]),
    "a trail with activation": (LONG, [trailing("5", activation="110")]),
    "break-even": (LONG, [break_even("100.5", "101")]),
    "break-even below the entry": (LONG, [break_even("99", "101")]),
    "short break-even": (SHORT, [break_even("99.5", "99")]),
    "time stop": (LONG, [time_stop(NOW + timedelta(seconds=1))]),
    "time stop in ten years": (LONG, [time_stop(NOW + opening.MAX_HOLDING)]),
    "two halves": (LONG, [target("110", fraction=Decimal("0.5")), target("120", fraction=Decimal("0.5"))]),
    "different kinds may each leave all": (LONG, [stop("90"), target("110"), trailing("5")]),
}


@pytest.mark.parametrize(("side", "legs"), FINE.values(), ids=FINE)
def test_it_may_be_opened(side: Side, legs: list[Leg]) -> None:
    assert check(side, *legs) == []


REFUSED = {
    "long stop at the price": (LONG, stop("100"), "stop_loss", "below 100"),
    "long stop above the price": (LONG, stop("101"), "stop_loss", "below 100"),
    "short stop below the price": (SHORT, stop("99"), "stop_loss", "above 100"),
    "long target below": (LONG, target("99"), "take_profit", "above 100"),
    "long target at the price": (LONG, target("100"), "take_profit", "above 100"),
    "short target above": (SHORT, target("101"), "take_profit", "below 100"),
    "stop at zero": (LONG, stop("0"), "stop_loss", "greater than 0"),
    "negative stop": (LONG, stop("-5"), "stop_loss", "greater than 0"),
    "stop off the grid": (LONG, stop("99.001"), "stop_loss", "tick size 0.01"),
    "target off the grid": (LONG, target("100.001"), "take_profit", "tick size 0.01"),
    "stop without a level": (LONG, Leg(kind=LegKind.STOP_LOSS), "stop_loss", "greater than 0"),
    "stop that is not a number": (LONG, stop("NaN"), "stop_loss", "a number"),
    "stop at infinity": (SHORT, stop("Infinity"), "stop_loss", "a number"),
    "break-even without activation": (LONG, Leg(kind=LegKind.BREAK_EVEN, level=PRICE), "break_even", "greater than 0"),
    "break-even activation on the wrong side": (LONG, break_even("90", "99"), "break_even", "above 100"),
    "break-even level beyond its activation": (LONG, break_even("106", "105"), "break_even", "below 105"),
    "short break-even level beyond its activation": (SHORT, break_even("94", "95"), "break_even", "above 95"),
    "break-even off the grid": (LONG, break_even("100.001", "105"), "break_even", "tick size"),
    "no trail": (LONG, Leg(kind=LegKind.TRAILING_STOP), "trailing_stop", "greater than 0"),
    "trail of zero": (LONG, trailing("0"), "trailing_stop", "greater than 0"),
    "negative trail": (LONG, trailing("-1"), "trailing_stop", "greater than 0"),
    "trail that is not a number": (LONG, trailing("NaN"), "trailing_stop", "a number"),
    "trail off the grid": (LONG, trailing("1.001"), "trailing_stop", "tick size"),
    "trail longer than the price": (LONG, trailing("100"), "trailing_stop", "less than the price 100"),
    "rate of everything": (SHORT, trailing("1", rate=True), "trailing_stop", "less than 100%"),
    "trail activation on the wrong side": (LONG, trailing("1", activation="99"), "trailing_stop", "above 100"),
    "time stop now": (LONG, time_stop(NOW), "time_stop", "future"),
    "time stop in the past": (LONG, time_stop(NOW - timedelta(days=1)), "time_stop", "future"),
    "time stop beyond ten years": (LONG, time_stop(NOW + opening.MAX_HOLDING * 1.01), "time_stop", "ten years"),
    "naive time": (LONG, time_stop(datetime(2027, 1, 1)), "time_stop", "time zone"),
    "no time": (LONG, time_stop(None), "time_stop", "time zone"),
    "fraction of zero": (LONG, stop("90", fraction=Decimal(0)), "stop_loss", "above 0"),
    "negative fraction": (LONG, stop("90", fraction=Decimal("-0.5")), "stop_loss", "above 0"),
    "fraction above one": (LONG, stop("90", fraction=Decimal("1.01")), "stop_loss", "at most 1"),
    "fraction that is not a number": (LONG, stop("90", fraction=Decimal("NaN")), "stop_loss", "a number"),
    "fraction below one lot": (LONG, stop("90", fraction=Decimal("0.00001")), "stop_loss", "one lot"),
}


@pytest.mark.parametrize(("side", "leg", "field", "rule"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_leg_is_refused_by_name_value_rule_and_remedy(side: Side, leg: Leg, field: str, rule: str) -> None:
    found = check(side, leg)
    assert any(problem.field == field and rule in problem.rule for problem in found), found
    assert all(problem.value and problem.remedy for problem in found)


QUANTITIES = {
    "zero": ("0", "from 0.001 to 1000"),
    "negative": ("-1", "from 0.001 to 1000"),
    "below the least": ("0.0009", "from 0.001 to 1000"),
    "above the most": ("1000.0001", "from 0.001 to 1000"),
    "between two lots": ("1.00005", "lot size 0.0001"),
    "absurd": ("999999999999999", "from 0.001 to 1000"),
    "beyond any number": ("1E+400", "number"),
    "not a number": ("NaN", "number"),
    "infinite": ("Infinity", "number"),
}


@pytest.mark.parametrize(("quantity", "rule"), QUANTITIES.values(), ids=QUANTITIES)
def test_a_wrong_quantity_is_refused(quantity: str, rule: str) -> None:
    found = check(LONG, quantity=quantity)
    assert any(problem.field == "quantity" and rule in problem.rule for problem in found), found


@pytest.mark.parametrize("quantity", ["0.001", "0.0011", "1000", "1000.0000"])
def test_the_limits_themselves_are_fine(quantity: str) -> None:
    assert check(LONG, quantity=quantity) == []


def test_more_than_the_books_can_hold_is_refused() -> None:
    grid = replace(GRID, max_quantity=Decimal(10) ** 12)
    price = Decimal(10) ** 9
    found = opening.problems(LONG, Decimal(10) ** 12, [], price, grid, NOW)
    assert [problem.field for problem in found] == ["quantity"]
    assert opening.problems(LONG, Decimal(10) ** 5, [], price, grid, NOW) == []


def test_every_problem_is_found_at_once() -> None:
    found = check(LONG, stop("101"), target("99"), trailing("0"), quantity="0")
    assert {problem.field for problem in found} == {"quantity", "stop_loss", "take_profit", "trailing_stop"}


def test_legs_of_one_kind_leave_at_most_the_whole_position() -> None:
    parts = [target("110", fraction=Decimal("0.6")), target("120", fraction=Decimal("0.41"))]
    assert [problem.value for problem in check(LONG, *parts)] == ["fractions"]


def test_an_amended_leg_is_judged_by_the_same_rules() -> None:
    assert opening.leg_problems(stop("99"), LONG, PRICE, GRID, NOW) == []
    assert opening.leg_problems(stop("101"), LONG, PRICE, GRID, NOW)
