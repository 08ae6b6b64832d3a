"""Which price triggers which leg."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import legs
from apps.domain.legs import PRIORITY, ExitReason, Leg, LegKind, triggers
from apps.domain.sides import Side
from tests.domain.values import NOW, break_even, stop, target, time_stop, trailing

LONG, SHORT = Side.LONG, Side.SHORT
# leg, side, price, best price so far, triggers?
CASES = {
    "long stop above its level": (stop("99"), LONG, "99.01", None, False),
    "long stop at its level": (stop("99"), LONG, "99", None, True),
    "long stop in a gap below": (stop("99"), LONG, "50", None, True),
    "short stop below its level": (stop("101"), SHORT, "100.99", None, False),
    "short stop at its level": (stop("101"), SHORT, "101", None, True),
    "short stop in a gap above": (stop("101"), SHORT, "150", None, True),
    "long target below its level": (target("110"), LONG, "109.99", None, False),
    "long target at its level": (target("110"), LONG, "110", None, True),
    "long target beyond": (target("110"), LONG, "111", None, True),
    "short target above its level": (target("90"), SHORT, "90.01", None, False),
    "short target at its level": (target("90"), SHORT, "90", None, True),
    "short target beyond": (target("90"), SHORT, "10", None, True),
    "long trail within its distance": (trailing("2"), LONG, "103.01", "105", False),
    "long trail at its distance": (trailing("2"), LONG, "103", "105", True),
    "short trail within its distance": (trailing("2"), SHORT, "96.99", "95", False),
    "short trail at its distance": (trailing("2"), SHORT, "97", "95", True),
    "long trail by rate within": (trailing("0.01", rate=True), LONG, "198.01", "200", False),
    "long trail by rate at": (trailing("0.01", rate=True), LONG, "198", "200", True),
    "short trail by rate within": (trailing("0.01", rate=True), SHORT, "201.99", "200", False),
    "short trail by rate at": (trailing("0.01", rate=True), SHORT, "202", "200", True),
    "a rate is not rounded to the grid": (trailing("0.0001", rate=True), LONG, "61794.13", "61800.31", False),
    "a trail without a best price sleeps": (trailing("2"), LONG, "1", None, False),
    "a trail before its activation sleeps": (trailing("2", activation="110"), LONG, "1", "109.99", False),
    "a trail woken at its activation": (trailing("2", activation="110"), LONG, "108", "110", True),
    "a short trail before its activation": (trailing("2", activation="90"), SHORT, "100", "90.01", False),
    "a short trail woken": (trailing("2", activation="90"), SHORT, "92", "90", True),
    "break-even before it woke": (break_even("100", "105"), LONG, "99", "104.99", False),
    "break-even with no best price": (break_even("100", "105"), LONG, "99", None, False),
    "break-even woken, above": (break_even("100", "105"), LONG, "100.01", "105", False),
    "break-even woken, at": (break_even("100", "105"), LONG, "100", "105", True),
    "short break-even woken": (break_even("100", "95"), SHORT, "100", "95", True),
    "short break-even asleep": (break_even("100", "95"), SHORT, "100", "95.01", False),
    "a time stop never by price": (time_stop(NOW), LONG, "1", "1", False),
    "a stop without a level": (Leg(kind=LegKind.STOP_LOSS), LONG, "1", None, False),
    "a target without a level": (Leg(kind=LegKind.TAKE_PROFIT), LONG, "1", None, False),
}


@pytest.mark.parametrize(("leg", "side", "price", "peak", "expected"), CASES.values(), ids=CASES)
def test_a_price_triggers_a_leg(leg: Leg, side: Side, price: str, peak: str | None, expected: bool) -> None:
    assert triggers(leg, side, Decimal(price), None if peak is None else Decimal(peak)) is expected


def test_every_kind_of_leg_and_side_is_in_the_table() -> None:
    assert {case[0].kind for case in CASES.values()} == set(LegKind)
    priced = set(LegKind) - {LegKind.TIME_STOP}
    assert {(c[0].kind, c[1]) for c in CASES.values() if c[4]} == {(k, s) for k in priced for s in Side}


def test_what_protects_comes_before_what_takes_profit() -> None:
    assert set(PRIORITY) == {str(reason) for reason in ExitReason}
    assert len(set(PRIORITY.values())) == len(PRIORITY)
    assert max(PRIORITY, key=PRIORITY.__getitem__) == ExitReason.TAKE_PROFIT
    assert PRIORITY[ExitReason.STOP_LOSS] < PRIORITY[ExitReason.TRAILING_STOP] < PRIORITY[ExitReason.TIME_STOP]


def test_every_leg_kind_is_a_reason_to_leave() -> None:
    assert {kind.value for kind in LegKind} <= {reason.value for reason in ExitReason}


def test_a_trailing_leg_without_a_trail_is_a_bug_not_a_level() -> None:
    with pytest.raises(ValueError, match="needs a trail"):
        legs.trailing_stop(Leg(kind=LegKind.TRAILING_STOP), LONG, Decimal(100))


prices = st.integers(1, 10**6).map(lambda cents: Decimal(cents) / 100)
signs = st.sampled_from([1, -1])


@given(signs, prices, prices)
def test_decimals_and_floats_get_the_same_answer_on_the_grid(sign: int, price: Decimal, level: Decimal) -> None:
    assert legs.stop_hit(sign, price, level) == legs.stop_hit(sign, float(price), float(level))
    assert legs.target_hit(sign, price, level) == legs.target_hit(sign, float(price), float(level))
    assert legs.better(sign, price, level) == Decimal(repr(legs.better(sign, float(price), float(level))))


@given(signs, prices, prices)
def test_a_stop_of_one_side_is_a_target_of_the_other(sign: int, price: Decimal, level: Decimal) -> None:
    assert legs.stop_hit(sign, price, level) == legs.target_hit(-sign, price, level)


@given(st.sampled_from(Side), prices, prices, st.integers(1, 9999))
def test_a_trailing_stop_rests_on_the_losing_side_of_the_best_price(
    side: Side, peak: Decimal, further: Decimal, points: int
) -> None:
    leg = trailing(str(Decimal(points) / 10_000), rate=True)
    level = legs.trailing_stop(leg, side, peak)
    assert (peak - level) * side.sign > 0
    best = legs.better(side.sign, peak, further)
    assert (legs.trailing_stop(leg, side, best) - level) * side.sign >= 0  # it only ever moves with the position
