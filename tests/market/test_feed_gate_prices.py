"""Which prices are believed, and which move no trailing mark: the gate on its own."""

import pytest

from apps.domain.feed_rules import is_away
from tests.market.gating import Bench, Print


def priced(first: int, *prices: str) -> list[Print]:
    return [Print(first + index, price) for index, price in enumerate(prices)]


def test_a_lone_jump_is_refused_and_the_market_goes_on_from_where_it_was() -> None:
    bench = Bench()
    assert bench.play(*priced(1, "100", "150", "101", "160", "102")) == [1, 3, 5]
    assert bench.counters.rejected == {"jump": 2}
    assert bench.sink.gaps == []


@pytest.mark.parametrize("prices", [("150", "151", "149"), ("50", "50", "50"), ("1000", "999", "1001")])
def test_three_prints_in_a_row_that_agree_are_the_new_market(prices: tuple[str, str, str]) -> None:
    bench = Bench()
    assert bench.play(*priced(1, "100", *prices, prices[0])) == [1, 4, 5]
    assert bench.counters.rejected == {"jump": 2}


def test_prints_that_disagree_do_not_confirm_each_other() -> None:
    bench = Bench()
    assert bench.play(*priced(1, "100", "150", "300", "20", "150", "700")) == [1]


def test_the_same_price_between_two_doubted_ones_ends_their_row() -> None:
    bench = Bench()
    assert bench.play(*priced(1, "100", "150", "150", "100", "150", "150", "100")) == [1, 4, 7]


def test_the_band_moves_along_with_the_market() -> None:
    bench = Bench()
    rising = [f"{100 * 1.15**step:.4f}" for step in range(20)]
    assert bench.play(*priced(1, *rising)) == list(range(1, 21))


def off_market(bench: Bench) -> list[bool]:
    return [tick.off_market for tick in bench.sink.ticks]


def test_a_lone_print_two_percent_away_is_marked_and_not_refused() -> None:
    bench = Bench()
    normal = ["28147.00"] * 5
    bench.play(*priced(1, *normal, "28722.50", "28147.00"))
    assert off_market(bench) == [False] * 5 + [True, False]
    assert bench.counters.off_market == 1


@pytest.mark.parametrize("lone", ["103", "97"])
def test_the_second_print_of_a_product_is_marked_on_either_side(lone: str) -> None:
    bench = Bench()
    bench.play(*priced(1, "100", lone, "100"))
    assert off_market(bench)[1]


def test_a_market_that_really_moved_is_believed_at_the_third_print() -> None:
    bench = Bench()
    bench.play(*priced(1, *["100"] * 5, "103", "103.1", "103", "103.2"))
    assert off_market(bench)[5:] == [True, True, False, False]


def test_a_print_outside_its_own_quote_is_marked() -> None:
    bench = Bench()
    quote = {"bid": "99.9", "ask": "100.1"}
    bench.play(
        Print(1, "100", **quote), Print(2, "101.2", **quote), Print(3, "98.8", **quote), Print(4, "100.9", **quote)
    )
    assert off_market(bench) == [False, True, True, False]


def test_the_calm_window_never_hides_what_the_median_would_show() -> None:
    """The short way past the median must agree with the median worked out every time."""
    bench = Bench()
    seen: list[float] = []
    price = 100.0
    for number in range(1, 4000):
        price *= 1 + (((number * 7919) % 601) - 300) / 40_000
        text = f"{price * (1.02 if number % 97 == 0 else 1):.6f}"
        bench.play(Print(number, text))
        seen.append(float(text))
        ranked = sorted(seen[-5:])
        middles = {ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]}
        expected = any(is_away(float(text), middle, 0.01) for middle in middles)
        assert bench.sink.ticks[-1].off_market == expected, number
    assert 30 < bench.counters.off_market < 400
