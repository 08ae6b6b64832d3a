"""What differs between two sides, told in plain values: no database, no venue."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import reconciling
from apps.domain.orders import Execution, OrderKind, Report
from apps.domain.reconciling import Difference, DiscrepancyKind, Foreign, Known, Scope, Sheet
from apps.domain.states import ENDED_ORDERS, OrderStatus

T = datetime(2026, 11, 21, 15, 0, tzinfo=UTC)
D = Decimal


def known(status: str = "accepted", *, in_flight: bool = False, venue_id: str = "v1") -> Known:
    return Known(order_id=1, client_id="c1", venue_id=venue_id, status=OrderStatus(status), in_flight=in_flight)


def report(client_id: str = "c1", venue_id: str = "v1", **more: Any) -> Report:
    values = {"status": OrderStatus.ACCEPTED, "filled": D(0), **more}
    return Report(client_id=client_id, venue_id=venue_id, **values)


def differs(kind: str = "position", subject: str = "BTC", gap: str = "1") -> Difference:
    return Difference(kind=DiscrepancyKind(kind), subject=subject, ours="0", theirs=gap, gap=gap)


# --- orders ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([known()], [report()], []),
        ([known(venue_id="")], [report()], []),  # its venue id was never heard
        ([known()], [report(client_id="")], []),  # the venue keeps no client ids
        ([], [report()], ["unknown_order"]),
        ([known()], [], ["lost_order"]),
        ([known("unknown")], [], []),
        ([known("new")], [], []),
        ([known("submitting")], [], []),
        ([known("cancelling")], [], []),
        ([known(in_flight=True)], [], []),
        ([known("cancelled")], [report()], ["unknown_order"]),
        ([known("cancelled", in_flight=True)], [report()], []),
        ([known("cancelled")], [], []),
        ([known()], [report("other", "v2")], ["unknown_order", "lost_order"]),
    ],
)
def test_orders_are_matched_by_either_name(ours: list[Known], theirs: list[Report], expected: list[str]) -> None:
    assert [one.kind for one in reconciling.compare_orders(ours, theirs)] == expected


@pytest.mark.parametrize("status", [status for status in OrderStatus if status not in ENDED_ORDERS])
def test_an_order_that_both_have_is_no_difference_in_any_status(status: OrderStatus) -> None:
    assert reconciling.compare_orders([known(status)], [report()]) == []


def test_an_unknown_order_carries_what_adopting_it_takes() -> None:
    theirs = report(
        symbol="BTC-USD", buy=True, quantity=D("1.50"), kind=OrderKind.LIMIT, limit_price=D("90.0"), filled=D("0.5")
    )
    (found,) = reconciling.compare_orders([], [theirs])
    assert (found.subject, found.theirs) == ("v1", "buy 1.5 BTC-USD limit at 90")
    assert found.facts == {
        "client_id": "c1", "venue_id": "v1", "status": "accepted", "symbol": "BTC-USD", "quantity": "1.5",
        "limit_price": "90", "filled": "0.5", "buy": True, "kind": "limit",
    }  # fmt: skip


def test_a_fill_of_an_unknown_order_is_no_other_difference() -> None:
    first, second = (reconciling.compare_orders([], [report(filled=D(filled))])[0] for filled in ("0", "0.5"))
    assert (first.key, first.gap) == (second.key, second.gap)


# --- amounts ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("ours", "theirs", "gap"),
    [("1", "1", None), ("1", "1.0009", None), ("1", "1.001", "0.001"), ("1", "0.5", "-0.5"), ("-1", "1", "2")],
)
def test_less_than_a_lot_is_no_difference(ours: str, theirs: str, gap: str | None) -> None:
    found = reconciling.compare_held({"BTC": D(ours)}, {"BTC": D(theirs)}, {"BTC": D("0.001")})
    assert [one.gap for one in found] == ([] if gap is None else [gap])


def test_what_only_one_side_holds_is_a_difference() -> None:
    found = reconciling.compare_held({"BTC": D(1)}, {"ETH": D(2)}, {})
    assert [(one.subject, one.gap) for one in found] == [("BTC", "-1"), ("ETH", "2")]


@pytest.mark.parametrize(("theirs", "differ"), [("100000.1", False), ("100000.2", True), ("99999.9", False)])
def test_a_millionth_of_the_money_is_no_difference(theirs: str, differ: bool) -> None:
    found = reconciling.compare_cash({"USD": D(100000)}, {"USD": D(theirs)})
    assert bool(found) is differ


def test_currencies_that_the_books_do_not_know_are_not_compared() -> None:
    assert reconciling.compare_cash({"USD": D(1)}, {"USD": D(1), "EUR": D(500)}) == []


# --- fills -----------------------------------------------------------------------------------------------------------
def foreign(*, buy: bool | None = True, fee: str = "0", asset: str = "USD") -> Foreign:
    one = Execution(id="f1", quantity=D(2), price=D(100), fee=D(fee), fee_asset=asset, at=T)
    return Foreign(execution=one, order="v9", symbol="BTC-USD", buy=buy)


@pytest.mark.parametrize(
    ("one", "held", "cash"),
    [
        (foreign(), "2", {"USD": "-200"}),
        (foreign(buy=False), "-2", {"USD": "200"}),
        (foreign(fee="0.5"), "2", {"USD": "-200.5"}),
        (foreign(buy=False, fee="0.5"), "-2", {"USD": "199.5"}),
        (foreign(fee="0.1", asset="BTC"), "1.9", {"USD": "-200"}),
        (foreign(fee="3", asset="BNB"), "2", {"USD": "-200", "BNB": "-3"}),
    ],
)
def test_a_fill_that_is_a_row_itself_explains_holdings_and_money(one: Foreign, held: str, cash: dict[str, str]) -> None:
    sheet = Sheet()
    reconciling.add_fill(sheet, one, name="BTC", base="BTC", quote="USD")
    assert sheet.held == {"BTC": D(held)}
    assert sheet.cash == {name: D(amount) for name, amount in cash.items()}


def test_a_fill_whose_side_nobody_knows_explains_nothing() -> None:
    sheet = Sheet()
    reconciling.add_fill(sheet, foreign(buy=None), name="BTC", base="BTC", quote="USD")
    assert (sheet.held, sheet.cash) == ({}, {})


def test_the_facts_of_a_fill_lead_back_to_it() -> None:
    one = foreign(fee="0.5")
    assert reconciling.fill_of_facts(reconciling.facts_of_fill(one)) == one


# --- seen twice ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("later", "confirmed"), [(0.0, 0), (2.9, 0), (3.0, 1), (600.0, 1)])
def test_a_difference_is_one_once_it_was_seen_twice_some_time_apart(later: float, confirmed: int) -> None:
    first = reconciling.sift([differs()], {}, now=T)
    assert first.confirmed == []
    second = reconciling.sift([differs()], first.suspects, now=T + timedelta(seconds=later))
    assert len(second.confirmed) == confirmed


def test_a_gap_that_moves_begins_anew() -> None:
    first = reconciling.sift([differs(gap="1")], {}, now=T)
    second = reconciling.sift([differs(gap="2")], first.suspects, now=T + timedelta(seconds=10))
    assert second.confirmed == []
    third = reconciling.sift([differs(gap="2")], second.suspects, now=T + timedelta(seconds=12))
    assert third.confirmed == []


def test_what_was_not_there_in_between_begins_anew() -> None:
    first = reconciling.sift([differs()], {}, now=T)
    between = reconciling.sift([], first.suspects, now=T + timedelta(seconds=5))
    assert between.suspects == {}
    third = reconciling.sift([differs()], between.suspects, now=T + timedelta(seconds=10))
    assert third.confirmed == []


@given(st.lists(st.tuples(st.sampled_from(["1", "2"]), st.floats(min_value=0, max_value=10)) | st.none(), max_size=30))
def test_whatever_is_confirmed_was_there_unchanged_for_long_enough(looks: list[tuple[str, float] | None]) -> None:
    suspects: reconciling.Suspects = {}
    now, since, gap = T, T, None
    for one in looks:
        if one is None:
            suspects, gap = reconciling.sift([], suspects, now=now).suspects, None
            continue
        now += timedelta(seconds=one[1])
        if one[0] != gap:
            gap, since = one[0], now
        sifted = reconciling.sift([differs(gap=one[0])], suspects, now=now)
        assert bool(sifted.confirmed) == (now - since >= reconciling.CONFIRM_AFTER)
        suspects = sifted.suspects or suspects


# --- what a look says nothing of -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("scope", "kind", "subject", "covers"),
    [
        (Scope(), "position", "BTC", True),
        (Scope(in_flight={"BTC"}), "position", "BTC", False),
        (Scope(in_flight={"BTC"}), "position", "ETH", True),
        (Scope(in_flight={"BTC"}), "balance", "USD", False),
        (Scope(unsettled=True), "position", "ETH", False),
        (Scope(unsettled=True), "balance", "USD", False),
        (Scope(unsettled=True), "lost_order", "c1", True),
        (Scope(), "unknown_fill", "f1", False),
    ],
)
def test_what_is_on_its_way_says_nothing_of_what_is_held(scope: Scope, kind: str, subject: str, covers: bool) -> None:
    assert scope.covers(kind, subject) is covers
