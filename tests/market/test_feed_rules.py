"""A price is believed only when its float and its digits say exactly the same."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import feed_rules
from apps.domain.feed_rules import PriceRefused, read_price


@given(st.text(alphabet="0123456789.-+eE_ naif\u0661\uff11", max_size=60))
def test_whatever_is_believed_is_exact_positive_and_finite(text: str) -> None:
    try:
        price = read_price(text)
    except PriceRefused:
        return
    assert text.isascii()
    assert 0 < price < feed_rules.CEILING
    assert Decimal(repr(price)) == Decimal(text)


@given(st.integers(1, 10**15 - 1), st.integers(0, 12), st.integers(0, 10))
def test_every_number_of_fifteen_digits_and_twelve_decimals_is_believed(digits: int, decimals: int, zeros: int) -> None:
    text = format(Decimal(digits).scaleb(-decimals), "f")
    padded = text + "0" * zeros if "." in text else text
    assert Decimal(repr(read_price(padded))) == Decimal(text)


@pytest.mark.parametrize(
    ("prices", "reference", "verdicts"),
    [
        ([100, 100, 103, 100, 100], 0, [False, False, True, False, False]),
        ([100, 100, 100, 103, 103, 103], 0, [False] * 6),
        ([103, 100, 100], 103, [True, False, False]),
        ([103], 100, [True]),
        ([100.5], 100, [False]),
        ([100], 0, [True]),
        ([100, 103], 0, [True, True]),
        ([100, 103], 103, [True, False]),
        ([], 100, []),
    ],
)
def test_a_price_is_lonely_when_its_neighbours_are_elsewhere(
    prices: list[float], reference: float, verdicts: list[bool]
) -> None:
    assert feed_rules.lonely(prices, reference, 0.01) == verdicts


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T00:00:01.000001Z", 1_000_001_000),
        ("1970-01-01T01:00:01+01:00", 1_000_000_000),
        ("2021-04-17T16:43:30.244075Z", 1_618_677_810_244_075_000),
        ("1970-01-01T00:00:01", None),
        ("now", None),
        ("", None),
    ],
)
def test_an_instant_needs_its_offset(text: str, at: int | None) -> None:
    assert feed_rules.instant_ns(text) == at


@pytest.mark.parametrize(
    ("bid", "ask", "quote"),
    [
        ("99.5", "100", (99.5, 100.0)),
        ("100", "100", (0.0, float("inf"))),
        ("101", "100", (0.0, float("inf"))),
        ("0", "100", (0.0, float("inf"))),
        ("99", "NaN", (0.0, float("inf"))),
    ],
)
def test_a_quote_is_a_market_or_nothing(bid: str, ask: str, quote: tuple[float, float]) -> None:
    assert feed_rules.quote_of(bid, ask) == quote
