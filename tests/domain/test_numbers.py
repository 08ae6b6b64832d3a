"""Which texts are numbers, and how numbers are rounded."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import numbers
from apps.domain.numbers import NumberRefused

TAKEN = {
    "whole": ("61800", "61800"),
    "fraction": ("0.25", "0.25"),
    "negative": ("-3.5", "-3.5"),
    "zero": ("0", "0"),
    "minus zero is zero": ("-0", "0"),
    "trailing zeros": ("1.500000000000000", "1.5"),
    "leading zeros": ("007", "7"),
    "twelve decimals": ("0.000000000001", "0.000000000001"),
    "the largest": ("999999999999999.999999999999", "999999999999999.999999999999"),
    "zeros beyond the twelfth decimal": ("1.0000000000000000000000", "1"),
}


@pytest.mark.parametrize(("text", "value"), TAKEN.values(), ids=TAKEN)
def test_a_plain_number_is_taken_exactly(text: str, value: str) -> None:
    assert numbers.parse(text) == Decimal(value)


REFUSED = {
    "not a number": "NaN",
    "signalling not a number": "sNaN",
    "infinity": "Infinity",
    "short infinity": "-inf",
    "exponent": "1e5",
    "huge exponent": "1e400",
    "capital exponent": "1E-3",
    "underscore": "1_000",
    "thousands": "1,000",
    "decimal comma": "0,5",
    "full-width digits": "\uff11\uff12\uff13",
    "arabic digits": "\u0661\u0662",
    "superscript": "5\u00b2",
    "plus sign": "+1",
    "two signs": "--1",
    "unicode minus": "\N{MINUS SIGN}1",
    "leading point": ".5",
    "trailing point": "5.",
    "two points": "1.2.3",
    "empty": "",
    "space before": " 1",
    "newline after": "1\n",
    "zero byte": "1\0",
    "hexadecimal": "0x10",
    "word": "ten",
    "at the limit": "1000000000000000",
    "below minus the limit": "-1000000000000000",
    "absurdly long": "9" * 41,
    "thirteen decimals": "0.0000000000001",
    "an int": 5,
    "a float": 0.5,
    "a Decimal": Decimal("0.5"),
    "nothing": None,
    "true": True,
    "bytes": b"1",
    "a list": ["1"],
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_whatever_is_not_a_plain_number_is_refused_with_a_sentence(text: object) -> None:
    with pytest.raises(NumberRefused) as refusal:
        numbers.parse(text)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("text", ["0", "-0", "0.000", "-0.000000000001", "-1"])
def test_zero_and_below_are_not_positive(text: str) -> None:
    with pytest.raises(NumberRefused, match="greater than 0"):
        numbers.parse_positive(text)


def test_the_smallest_positive_number_is_positive() -> None:
    assert numbers.parse_positive("0.000000000001") == Decimal("1E-12")


@given(st.text(max_size=30))
def test_no_text_makes_parse_fail_otherwise(text: str) -> None:
    try:
        value = numbers.parse(text)
    except NumberRefused:
        return
    assert value.is_finite()
    assert abs(value) < numbers.LIMIT


amounts = st.decimals(-(10**14), 10**14, places=12)
steps = st.sampled_from([Decimal(text) for text in ("1", "0.01", "0.5", "0.25", "0.00000001", "0.05", "10", "0.003")])


@given(amounts)
def test_a_number_written_plainly_reads_back_as_itself(value: Decimal) -> None:
    text = numbers.plain(value)
    assert numbers.parse(text) == value
    assert "E" not in text
    assert not text.endswith((".", ".0"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1E+3", "1000"),
        ("-0", "0"),
        ("-0.00", "0"),
        ("61800.30", "61800.3"),
        ("100", "100"),
        ("1E-12", "0.000000000001"),
    ],
)
def test_plain_writes_no_exponent_and_no_idle_zero(value: str, text: str) -> None:
    assert numbers.plain(Decimal(value)) == text


@given(amounts, steps)
def test_floor_and_ceiling_are_the_neighbours_on_the_grid(value: Decimal, step: Decimal) -> None:
    below, above = numbers.floor_to(value, step), numbers.ceil_to(value, step)
    assert numbers.on_grid(below, step)
    assert numbers.on_grid(above, step)
    assert below <= value <= above
    assert above - below == (0 if numbers.on_grid(value, step) else step)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        ("0.000000005", "0"),
        ("0.000000015", "0.00000002"),
        ("-0.000000025", "-0.00000002"),
        ("1.2345678949", "1.23456789"),
    ],
)
def test_money_rounds_half_to_even_at_eight_decimals(value: str, rounded: str) -> None:
    assert numbers.money(Decimal(value)) == Decimal(rounded)


def test_the_average_of_one_price_is_that_price() -> None:
    price, quantity = Decimal("61800.3"), Decimal("0.30000001")
    assert numbers.average(price * quantity, quantity) == price
