"""FIFO and average cost against a naive model that moves one unit at a time, and the sums that must not differ."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import numbers
from apps.domain.accounting import Book, Disposal, Method, Trade, share

START = datetime(2026, 1, 1, tzinfo=UTC)
LOT = Decimal("0.1")


def trade(side: str, quantity: str, price: str, *, fee: str = "0", day: int = 0) -> Trade:
    amount = numbers.money(Decimal(quantity) * Decimal(price))
    return Trade(START + timedelta(days=day), side == "buy", Decimal(quantity), amount, Decimal(fee))


def booked(trades: Sequence[Trade], method: Method) -> tuple[Book, list[Disposal]]:
    book = Book(method)
    return book, [one for each in trades for one in book.add(each)]


@st.composite
def histories(draw: st.DrawFn, *, flat: bool = False) -> list[Trade]:
    """Buys and sells of whole lots at wild prices with fees (rebates among them), in order of time."""
    found, net = [], 0
    for number in range(draw(st.integers(1, 25))):
        lots = draw(st.integers(1, 12))
        buy = draw(st.booleans())
        net += lots if buy else -lots
        found.append(_drawn(draw, number, buy, lots))
    if flat and net:
        found.append(_drawn(draw, len(found), net < 0, abs(net)))
    return found


def _drawn(draw: st.DrawFn, number: int, buy: bool, lots: int) -> Trade:
    quantity = lots * LOT
    price = draw(st.decimals("0.00000001", "99999.99999999", places=8))
    fee = draw(st.decimals("-1", "99", places=8))
    return Trade(START + timedelta(hours=number), buy, quantity, numbers.money(quantity * price), fee)


def naive_fifo(trades: Sequence[Trade]) -> tuple[list[tuple[int, int]], list[int]]:
    """Match one lot after the other: pairs of (number of the purchase, number of the sale), and what is left over."""
    bought, sold, pairs = [], [], []
    for number, one in enumerate(trades):
        for _ in range(int(one.quantity / LOT)):
            mine, other = (bought, sold) if one.buy else (sold, bought)
            if other:
                first = other.pop(0)
                pairs.append((number, first) if one.buy else (first, number))
            else:
                mine.append(number)
    return pairs, bought or sold


@given(histories())
def test_fifo_matches_the_same_units_as_one_lot_after_the_other(trades: list[Trade]) -> None:
    book, disposals = booked(trades, Method.FIFO)
    pairs, rest = naive_fifo(trades)
    at = {one.at: number for number, one in enumerate(trades)}
    found = [(at[one.bought_at], at[one.sold_at]) for one in disposals for _ in range(int(one.quantity / LOT))]
    assert found == pairs
    assert book.quantity == len(rest) * LOT
    assert all(one.short == (one.sold_at < one.bought_at) for one in disposals)
    if rest:
        assert book.short is not trades[rest[0]].buy


@given(histories())
def test_fifo_amounts_are_those_of_the_naive_shares_within_a_rounding(trades: list[Trade]) -> None:
    _, disposals = booked(trades, Method.FIFO)
    pairs, _ = naive_fifo(trades)
    exact = sum(
        (trades[sale].notional / trades[sale].quantity - trades[buy].notional / trades[buy].quantity) * LOT
        for buy, sale in pairs
    )
    assert abs(sum(one.profit for one in disposals) - exact) <= numbers.MONEY_STEP * (len(disposals) + 1) * 2


@given(histories())
def test_average_cost_is_the_cost_of_an_average_unit(trades: list[Trade]) -> None:
    """Walk with fractions: the unit cost only changes when units are added."""
    book, unit, quantity = Book(Method.AVERAGE), Decimal(0), Decimal(0)
    for one in trades:
        signed = one.quantity if one.buy else -one.quantity
        price, after = one.notional / one.quantity, quantity + signed
        if quantity * signed >= 0:
            unit = (unit * abs(quantity) + one.notional) / abs(after)
        elif after * quantity < 0:
            unit = price
        quantity = after
        book.add(one)
        assert abs(book.cost - unit * abs(quantity)) <= Decimal("0.00001")


@given(histories(flat=True))
def test_when_nothing_is_held_both_methods_sum_to_what_the_fills_brought(trades: list[Trade]) -> None:
    brought = sum((-one.notional if one.buy else one.notional for one in trades), Decimal(0))
    paid = sum((one.fee for one in trades), Decimal(0))
    for method in Method:
        book, disposals = booked(trades, method)
        assert (book.quantity, book.cost, book.fees) == (0, 0, 0)
        assert sum(one.profit for one in disposals) == brought
        assert sum(one.fees for one in disposals) == paid
        assert sum(one.gain for one in disposals) == brought - paid


@given(histories(), st.decimals("0.01", "99999", places=2))
def test_realised_and_open_profit_are_the_same_together_whatever_the_method(
    trades: list[Trade], price: Decimal
) -> None:
    totals, fees = set(), set()
    for method in Method:
        book, disposals = booked(trades, method)
        totals.add(sum((one.profit for one in disposals), Decimal(0)) + book.worth(price))
        fees.add(sum((one.fees for one in disposals), Decimal(0)) + book.fees)
    brought = sum((-one.notional if one.buy else one.notional for one in trades), Decimal(0))
    net = sum((one.quantity if one.buy else -one.quantity for one in trades), Decimal(0))
    assert totals == {brought + numbers.money(net * price)}
    assert fees == {sum((one.fee for one in trades), Decimal(0))}


@given(histories())
def test_both_methods_sell_the_same_units_at_the_same_proceeds(trades: list[Trade]) -> None:
    _, fifo = booked(trades, Method.FIFO)
    _, average = booked(trades, Method.AVERAGE)
    assert [(d.bought_at, d.sold_at, d.quantity) for d in fifo] == [
        (d.bought_at, d.sold_at, d.quantity) for d in average
    ]


def test_a_sale_of_two_purchases_is_two_disposals() -> None:
    trades = [trade("buy", "1", "100"), trade("buy", "1", "200", day=1), trade("sell", "1.5", "300", fee="3", day=2)]
    book, (first, second) = booked(trades, Method.FIFO)
    assert (first.cost, first.proceeds, first.fees) == (100, 300, 2)
    assert (second.cost, second.proceeds, second.fees, second.quantity) == (100, 150, 1, Decimal("0.5"))
    assert (book.quantity, book.cost) == (Decimal("0.5"), 100)
    _, (first, second) = booked(trades, Method.AVERAGE)
    assert (first.cost, second.cost) == (150, 75)


def test_what_exceeds_the_holding_opens_the_other_way() -> None:
    trades = [trade("buy", "1", "100"), trade("sell", "3", "90", day=1), trade("buy", "2", "80", day=2)]
    book, disposals = booked(trades, Method.FIFO)
    assert [(d.short, d.quantity, d.profit) for d in disposals] == [(False, 1, -10), (True, 2, 20)]
    assert disposals[1].realised_at == trades[2].at
    assert disposals[1].sold_at == trades[1].at
    assert not book.quantity


@pytest.mark.parametrize(("held", "price", "worth"), [("buy", "120", "20"), ("sell", "120", "-20")])
def test_what_is_open_gains_with_its_side(held: str, price: str, worth: str) -> None:
    book, _ = booked([trade(held, "1", "100")], Method.FIFO)
    assert book.worth(Decimal(price)) == Decimal(worth)


def test_a_share_of_all_is_all_of_it_and_rounds_half_to_even_else() -> None:
    assert share(Decimal("0.123456789123"), Decimal(3), Decimal(3)) == Decimal("0.123456789123")
    assert share(Decimal("0.00000001"), Decimal(1), Decimal(2)) == 0
