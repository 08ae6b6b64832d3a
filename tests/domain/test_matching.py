"""Does a paper order fill, how much of it, and at what price?"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import matching
from apps.domain.fills import Costs
from apps.domain.matching import Mark, Standing, Terms
from apps.domain.numbers import plain
from apps.domain.orders import OrderKind, TimeInForce
from apps.domain.states import OrderStatus

T = datetime(2026, 1, 5, 12, tzinfo=UTC)
FREE = Costs(fee_rate=Decimal(0), slippage_rate=Decimal(0))
TERMS = Terms(costs=FREE, tick_size=Decimal("0.01"), lot_size=Decimal("0.1"))
SPREAD = ("99", "101")


def at(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


def mark(seconds: float, price: str, bid: str | None = None, ask: str | None = None, **more: Any) -> Mark:
    best = {"bid": None if bid is None else Decimal(bid), "ask": None if ask is None else Decimal(ask)}
    number = more.pop("id", int(seconds * 1000) + 1_000_000)
    return Mark(at=at(seconds), id=number, price=Decimal(price), size=Decimal(more.pop("size", "0")), **best)


def order(kind: str = "market", *, buy: bool = True, quantity: str = "1", **more: Any) -> Standing:
    prices = {name: Decimal(more.pop(name)) for name in ("limit_price", "stop_price") if name in more}
    tif = TimeInForce(more.pop("tif", "gtc"))
    return Standing(buy=buy, kind=OrderKind(kind), tif=tif, quantity=Decimal(quantity), acts_at=T, **prices, **more)


def match(found: Standing, *marks: Mark, now: float = 60, terms: Terms = TERMS, known: float | None = None) -> Standing:
    return matching.match(found, marks, terms, now=at(now), known=at(now if known is None else known))


def fills(found: Standing) -> list[tuple[str, str, float]]:
    return [(plain(one.quantity), plain(one.price), (one.at - T).total_seconds()) for one in found.pieces]


@pytest.mark.parametrize(("buy", "price"), [(True, "101"), (False, "99")])
def test_a_market_order_takes_the_other_side_of_the_quote_in_force_when_it_acts(buy: bool, price: str) -> None:
    found = match(order(buy=buy), mark(-3, "90", "89", "91"), mark(-1, "100", *SPREAD), mark(1, "200", "199", "201"))
    assert found.status == OrderStatus.FILLED
    assert fills(found) == [("1", price, 0.0)]


def test_a_market_order_fills_at_the_last_price_where_there_is_no_quote() -> None:
    assert fills(match(order(), mark(-1, "100"))) == [("1", "100", 0.0)]


def test_a_market_order_without_a_price_waits_for_the_next_one() -> None:
    assert match(order()).status == OrderStatus.ACCEPTED
    assert fills(match(order(), mark(7, "100", *SPREAD))) == [("1", "101", 7.0)]


def test_slippage_goes_against_the_order_and_the_fee_is_of_the_fill() -> None:
    costs = Costs(fee_rate=Decimal("0.001"), slippage_rate=Decimal("0.01"), slippage_fixed=Decimal("0.005"))
    terms = replace(TERMS, costs=costs)
    (bought,) = match(order(), mark(-1, "100", *SPREAD), terms=terms).pieces
    (sold,) = match(order(buy=False), mark(-1, "100", *SPREAD), terms=terms).pieces
    assert (bought.price, bought.fee) == (Decimal("102.02"), Decimal("0.10202000"))
    assert (sold.price, sold.fee) == (Decimal("98"), Decimal("0.09800000"))


def test_nothing_happens_before_the_order_acts() -> None:
    assert match(order(), mark(-1, "100"), now=-0.5) == order()


@pytest.mark.parametrize(
    ("buy", "limit", "expected"),
    [
        pytest.param(True, "102", [("1", "101", 0.0)], id="a better ask is taken, at the ask"),
        pytest.param(False, "98", [("1", "99", 0.0)], id="a better bid is taken, at the bid"),
        pytest.param(True, "100.50", [], id="an ask above the limit is left alone"),
        pytest.param(False, "99.50", [], id="a bid below the limit is left alone"),
    ],
)
def test_a_limit_order_that_arrives(buy: bool, limit: str, expected: list[Any]) -> None:
    assert fills(match(order("limit", buy=buy, limit_price=limit), mark(-1, "100", *SPREAD))) == expected


def test_slippage_never_takes_a_limit_order_beyond_its_limit() -> None:
    terms = replace(TERMS, costs=Costs(fee_rate=Decimal(0), slippage_rate=Decimal("0.1")))
    found = match(order("limit", limit_price="102"), mark(-1, "100", *SPREAD), terms=terms)
    assert fills(found) == [("1", "102", 0.0)]


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        pytest.param(mark(5, "98", "97", "99"), [("1", "98", 5.0)], id="a print at the limit"),
        pytest.param(mark(5, "90", "89", "91"), [("1", "98", 5.0)], id="a gap through it still fills at the limit"),
        pytest.param(mark(5, "98.01", "98", "98.02"), [], id="a print one tick short"),
        pytest.param(mark(5, "98.01", "97", "98"), [("1", "98", 5.0)], id="the other side comes to it"),
    ],
)
def test_a_limit_order_that_waits(later: Mark, expected: list[Any]) -> None:
    assert fills(match(order("limit", limit_price="98"), mark(-1, "100", *SPREAD), later)) == expected


def test_a_print_at_the_limit_is_not_enough_for_a_strict_venue() -> None:
    strict = replace(TERMS, at_touch=False)
    waiting = order("limit", limit_price="98")
    assert not match(waiting, mark(-1, "100", *SPREAD), mark(5, "98", "97", "99"), terms=strict).pieces
    assert match(waiting, mark(-1, "100", *SPREAD), mark(5, "97.99", "97", "99"), terms=strict).pieces


def test_a_limit_order_never_fills_by_what_was_traded_before_it_existed() -> None:
    old = mark(-0.5, "97", "98.5", "99.5", id=5)
    once = match(order("limit", limit_price="98"), mark(-1, "90", "89", "91"), old)
    assert once.pieces == ()
    assert once.rests_at == T
    assert match(once, mark(-1, "90", "89", "91"), old).pieces == ()  # nor by a second look at the same prints


@pytest.mark.parametrize(
    ("buy", "stop", "expected"),
    [
        pytest.param(True, "105", [("1", "108", 4.0)], id="a buy stop pays the ask of the print that reached it"),
        pytest.param(False, "95", [], id="a sell stop is not reached"),
    ],
)
def test_a_stop_becomes_a_market_order_at_the_price_that_reached_it(buy: bool, stop: str, expected: list[Any]) -> None:
    marks = mark(-1, "100", *SPREAD), mark(2, "104.99", "104", "106"), mark(4, "107", "106", "108")
    assert fills(match(order("stop", buy=buy, stop_price=stop), *marks)) == expected


def test_a_gap_through_a_stop_fills_at_the_market_not_at_the_stop() -> None:
    found = match(order("stop", buy=False, stop_price="95"), mark(-1, "100", *SPREAD), mark(4, "80", "79", "81"))
    assert fills(found) == [("1", "79", 4.0)]
    assert found.triggered_at == at(4)


def test_a_stop_that_is_passed_when_it_arrives_triggers_at_once() -> None:
    assert fills(match(order("stop", buy=False, stop_price="95"), mark(-1, "94", "93", "95"))) == [("1", "93", 0.0)]


def test_a_stop_limit_waits_at_its_limit_after_a_gap() -> None:
    stopped = order("stop_limit", buy=False, stop_price="95", limit_price="94")
    found = match(stopped, mark(-1, "100", *SPREAD), mark(4, "80", "79", "81"))
    assert (found.pieces, found.triggered_at) == ((), at(4))
    assert fills(match(found, mark(4, "80", "79", "81"), mark(9, "94", "93", "95"))) == [("1", "94", 9.0)]


@pytest.mark.parametrize("tif", ["ioc", "fok"])
def test_what_cannot_be_filled_at_once_is_cancelled(tif: str) -> None:
    found = match(order("limit", limit_price="98", tif=tif), mark(-1, "100", *SPREAD), mark(5, "97"))
    assert (found.status, found.pieces) == (OrderStatus.CANCELLED, ())
    assert "at once" in found.why


def test_an_ioc_order_keeps_its_first_piece_and_a_fok_order_has_only_one() -> None:
    parts = replace(TERMS, pieces=3)
    limit = order("limit", limit_price="102", tif="ioc", quantity="3")
    found = match(limit, mark(-1, "100", *SPREAD), mark(5, "97"), terms=parts)
    assert (found.status, fills(found)) == (OrderStatus.CANCELLED, [("1", "101", 0.0)])
    assert fills(match(replace(limit, tif=TimeInForce.FOK), mark(-1, "100", *SPREAD), terms=parts)) == [
        ("3", "101", 0.0)
    ]
    market = match(replace(limit, kind=OrderKind.MARKET), mark(-1, "100", *SPREAD), terms=parts)
    assert (market.status, market.filled) == (OrderStatus.CANCELLED, Decimal("1.0"))


def test_an_order_that_must_fill_at_once_does_not_wait_for_a_price_for_ever() -> None:
    assert match(order(tif="ioc"), now=5).status == OrderStatus.ACCEPTED
    assert match(order(tif="ioc"), now=11).status == OrderStatus.CANCELLED


def test_an_order_expires_when_nothing_of_its_time_can_come_any_more() -> None:
    waiting = order("limit", limit_price="98", tif="gtd", expires_at=at(10))
    marks = mark(-1, "100", *SPREAD), mark(10, "97")
    assert match(waiting, *marks, now=11, known=9).status == OrderStatus.ACCEPTED
    expired = match(waiting, *marks, now=13, known=11)
    assert (expired.status, expired.pieces) == (OrderStatus.EXPIRED, ())
    late_print = match(waiting, mark(-1, "100", *SPREAD), mark(9.9, "97"), now=13, known=11)
    assert late_print.status == OrderStatus.FILLED


def test_pieces_of_a_market_order_follow_in_time_at_the_prices_of_their_time() -> None:
    parts = replace(TERMS, pieces=3, pause=timedelta(seconds=1))
    marks = mark(-1, "100", *SPREAD), mark(1.5, "110", "109", "111")
    early = match(order(quantity="1"), *marks, terms=parts, now=0.5)
    assert (early.status, fills(early)) == (OrderStatus.PARTIALLY_FILLED, [("0.3", "101", 0.0)])
    found = match(early, *marks, terms=parts, now=10)
    assert fills(found) == [("0.3", "101", 0.0), ("0.3", "101", 1.0), ("0.4", "111", 2.0)]


def test_pieces_of_a_waiting_order_need_a_print_each() -> None:
    parts = replace(TERMS, pieces=2)
    marks = mark(-1, "100", *SPREAD), mark(3, "98"), mark(4, "98.5"), mark(5, "98")
    waiting = order("limit", limit_price="98")
    first = match(waiting, *marks, terms=parts, now=4)
    assert fills(first) == [("0.5", "98", 3.0)]
    assert match(first, *marks, terms=parts, now=4) == first  # a second look at the same prints changes nothing
    assert fills(match(first, *marks, terms=parts)) == [("0.5", "98", 3.0), ("0.5", "98", 5.0)]


def test_a_waiting_order_fills_no_more_than_was_traded_if_the_venue_says_so() -> None:
    volume = replace(TERMS, by_volume=True)
    marks = mark(-1, "100", *SPREAD), mark(3, "98", size="0.25"), mark(4, "98", size="0.05"), mark(5, "98", size="9")
    found = match(order("limit", limit_price="98"), *marks, terms=volume)
    assert fills(found) == [("0.2", "98", 3.0), ("0.8", "98", 5.0)]


def test_who_waited_pays_the_makers_fee() -> None:
    terms = replace(TERMS, costs=replace(FREE, fee_rate=Decimal("0.01")), maker_share=Decimal("-0.5"))
    (piece,) = match(order("limit", limit_price="98"), mark(-1, "100", *SPREAD), mark(3, "98"), terms=terms).pieces
    assert (piece.maker, piece.fee) == (True, Decimal("-0.49000000"))


PRICES = st.decimals(min_value=90, max_value=110, places=2)
WALK = st.lists(st.tuples(st.integers(1, 500), PRICES, PRICES), min_size=1, max_size=30)


@given(
    walk=WALK,
    kind=st.sampled_from(["market", "limit", "stop", "stop_limit"]),
    tif=st.sampled_from(["gtc", "ioc", "fok"]),
    buy=st.booleans(),
    looks=st.lists(st.integers(0, 20_000), max_size=6),
    pieces=st.integers(1, 4),
)
def test_however_often_one_looks_the_fills_are_the_same(
    walk: list[Any], kind: str, tif: str, buy: bool, looks: list[int], pieces: int
) -> None:
    marks, seconds = [mark(-1, "100", *SPREAD)], 0.0
    for number, (step, price, other) in enumerate(walk):
        seconds += step / 1000
        bid, ask = sorted((price, other))
        marks.append(Mark(at=at(seconds), id=number, price=price, bid=bid, ask=ask))
    limit = {"limit_price": "99"} if "limit" in kind else {}
    stop = {"stop_price": "102" if buy else "97"} if "stop" in kind else {}
    begun = order(kind, buy=buy, tif=tif, quantity="1", **limit, **stop)
    terms = replace(TERMS, pieces=pieces)
    once = match(begun, *marks, now=60, terms=terms)
    often = begun
    for look in [*sorted(looks), 60_000]:
        seen = [one for one in marks if one.at <= at(look / 1000)]
        often = match(often, *seen, now=look / 1000, terms=terms)
    assert often == once
    assert once.filled == sum(piece.quantity for piece in once.pieces) <= once.quantity
    if limit:
        assert all(one.price <= 99 if buy else one.price >= 99 for one in once.pieces)
    assert all(one.at >= T for one in once.pieces)


@given(walk=WALK, kind=st.sampled_from(["market", "limit", "stop", "stop_limit"]), buy=st.booleans())
def test_orders_out_of_reach_would_not_have_changed(walk: list[Any], kind: str, buy: bool) -> None:
    limit = {"limit_price": "95" if buy else "105"} if "limit" in kind else {}
    stop = {"stop_price": "108" if buy else "92"} if "stop" in kind else {}
    begun = replace(order(kind, buy=buy, **limit, **stop), rests_at=T if kind == "limit" else None)
    marks = [Mark(at=at(n + 1), id=n, price=a, bid=min(a, b), ask=max(a, b)) for n, (_, a, b) in enumerate(walk)]
    prices = [price for one in marks for price in (one.price, one.bid, one.ask) if price is not None]
    if not matching.is_within_reach(begun, min(prices), max(prices)):
        assert match(begun, *marks) == begun
