"""The order machine: every status against every report; any shuffling of a history ends in the same state."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import order_life
from apps.domain.order_life import Note, State, advance
from apps.domain.orders import Execution, Purpose, Report, client_id
from apps.domain.states import ENDED_ORDERS, ORDER_MOVES, OrderStatus

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OURS = {OrderStatus.NEW, OrderStatus.SUBMITTING, OrderStatus.UNKNOWN}
ENDED = set(ENDED_ORDERS)


def execution(key: str, quantity: str, price: str = "100") -> Execution:
    return Execution(id=key, quantity=Decimal(quantity), price=Decimal(price), fee=Decimal(0), fee_asset="USD", at=AT)


def report(status: OrderStatus | str, *executions: Execution, filled: str | None = None) -> Report:
    total = sum((one.quantity for one in executions), Decimal(0))
    return Report(
        client_id="c",
        venue_id="v",
        status=OrderStatus(status),
        filled=total if filled is None else Decimal(filled),
        executions=executions,
    )


def order(status: OrderStatus | str = "submitting", filled: str = "0", quantity: str = "1") -> State:
    done = Decimal(filled)
    return State(
        status=OrderStatus(status),
        quantity=Decimal(quantity),
        filled=done,
        claimed=done,
        notional=done * 100,
        known=frozenset({"old"} if done else ()),
        venue_id="v",
    )


# --- the table ------------------------------------------------------------------------------------
# What a report of a status without news makes of an order in another: anything not named changes nothing.
ACCEPTED, PARTIAL, CANCELLING = OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.CANCELLING
BECOMES = {
    **{(before, said): said for before in OURS for said in {ACCEPTED, PARTIAL, CANCELLING} | ENDED},
    **{(ACCEPTED, said): said for said in {PARTIAL, CANCELLING} | ENDED},
    **{(PARTIAL, said): said for said in {CANCELLING} | ENDED},
    **{(CANCELLING, said): said for said in ENDED},
    (OrderStatus.CANCELLED, OrderStatus.FILLED): OrderStatus.FILLED,
    (OrderStatus.EXPIRED, OrderStatus.FILLED): OrderStatus.FILLED,
    **{(OrderStatus.REJECTED, said): said for said in ENDED},
}


@pytest.mark.parametrize(("before", "said"), list(product(OrderStatus, OrderStatus)))
def test_every_status_against_every_report(before: OrderStatus, said: OrderStatus) -> None:
    state = order(before, filled="0.5")
    after = advance(state, report(said, filled="0.5")).state
    wanted = BECOMES.get((before, said), before)
    if before in {ACCEPTED, *OURS} and said in {ACCEPTED, *OURS}:
        wanted = PARTIAL  # something of it is filled, so the venue has it
    assert after == replace(state, status=wanted)


@pytest.mark.parametrize(("before", "said"), list(product(OrderStatus, OrderStatus)))
@pytest.mark.parametrize("fills", [(), ("0.25",), ("0.25", "0.75"), ("2",)], ids=str)
def test_no_report_makes_an_illegal_move(before: OrderStatus, said: OrderStatus, fills: Sequence[str]) -> None:
    found = [execution(str(index), quantity) for index, quantity in enumerate(fills)]
    outcome = advance(order(before), report(said, *found))
    after = outcome.state.status
    assert after == before or after in ORDER_MOVES[before]
    assert outcome.executions == tuple(found), "whatever is said, an execution is a fact"
    assert after == OrderStatus.FILLED or outcome.state.filled < 1


def test_the_table_of_moves_names_every_status_and_every_end_stays_one() -> None:
    assert set(ORDER_MOVES) == set(OrderStatus)
    assert all(ORDER_MOVES[status] <= ENDED for status in ENDED)
    assert not ORDER_MOVES[OrderStatus.FILLED]
    assert all(ORDER_MOVES[status] >= ENDED for status in set(OrderStatus) - ENDED)


# --- single rules ------------------------------------------------------------------------------------
def test_a_repeated_report_changes_nothing() -> None:
    said = report("partially_filled", execution("a", "0.25"), execution("b", "0.25", "102"))
    first = advance(order(), said)
    assert (first.state.filled, first.state.notional) == (Decimal("0.5"), Decimal("50.5"))
    again = advance(first.state, said)
    assert (again.state, again.executions, again.notes) == (first.state, (), frozenset())


def test_an_execution_named_twice_in_one_report_counts_once() -> None:
    outcome = advance(order(), report("partially_filled", execution("a", "0.25"), execution("a", "0.25")))
    assert outcome.state.filled == Decimal("0.25")


def test_executions_that_sum_to_the_quantity_fill_the_order_whatever_the_status() -> None:
    for said in ("accepted", "partially_filled", "cancelled", "unknown"):
        assert advance(order(), report(said, execution("a", "1"))).state.status == "filled"


def test_a_fill_after_the_cancel_counts_and_is_told() -> None:
    outcome = advance(order("cancelled", "0.25"), report("cancelled", execution("late", "0.25")))
    assert (outcome.state.status, outcome.state.filled) == ("cancelled", Decimal("0.5"))
    assert outcome.notes == {Note.LATE}


def test_a_cancelled_order_that_was_filled_is_filled() -> None:
    assert advance(order("cancelled", "0.25"), report("filled", execution("late", "0.75"))).state.status == "filled"


def test_more_than_was_ordered_counts_and_is_told() -> None:
    outcome = advance(order(), report("filled", execution("a", "1.5")))
    assert (outcome.state.filled, outcome.state.status, outcome.notes) == (
        Decimal("1.5"),
        "filled",
        {Note.OVERFILLED},
    )


@pytest.mark.parametrize(
    ("said", "meanwhile"),
    [
        ("filled", "partially_filled"),
        ("cancelled", "cancelling"),
        ("expired", "cancelling"),
        ("rejected", "cancelling"),
    ],
)
def test_an_order_ends_only_once_all_executions_are_known(said: str, meanwhile: str) -> None:
    first = advance(order(), report(said, execution("a", "0.25"), filled="0.5"))
    assert (first.state.status, first.notes, first.state.missing) == (meanwhile, {Note.MISSING}, Decimal("0.25"))
    then = advance(first.state, report(said, execution("a", "0.25"), execution("b", "0.25")))
    assert (then.state.status, then.notes) == (said, frozenset())


def test_filled_without_a_number_means_all_of_it() -> None:
    outcome = advance(order(), report("filled"))
    assert (outcome.state.claimed, outcome.state.status, outcome.notes) == (1, "partially_filled", {Note.MISSING})


def test_a_venue_that_counts_less_than_its_executions_is_behind() -> None:
    state = advance(order(), report("partially_filled", execution("a", "0.5"), filled="0.25")).state
    assert (state.filled, state.claimed) == (Decimal("0.5"), Decimal("0.5"))


def test_an_order_that_we_gave_up_and_that_works_must_be_taken_back() -> None:
    outcome = advance(order("rejected"), report("accepted"))
    assert (outcome.state.status, outcome.notes) == ("rejected", {Note.STILL_WORKS})
    assert Note.STILL_WORKS not in advance(order("cancelled"), report("accepted")).notes


@pytest.mark.parametrize(
    ("quantity", "price"), [("0", "1"), ("-1", "1"), ("1", "0"), ("NaN", "1"), ("1", "Infinity"), ("1e-13", "1")]
)
def test_an_execution_of_nothing_is_not_counted(quantity: str, price: str) -> None:
    outcome = advance(order(), report("filled", execution("a", quantity, price), filled="1"))
    assert outcome.executions == ()
    assert outcome.notes == {Note.NONSENSE, Note.MISSING}


def test_a_number_of_no_sense_claims_nothing() -> None:
    assert advance(order("accepted"), report("accepted", filled="NaN")).state == order("accepted")


def test_quantities_are_kept_on_the_scale_of_the_books() -> None:
    outcome = advance(order(), report("partially_filled", execution("a", "0.1234567890126")))
    assert outcome.executions[0].quantity == outcome.state.filled == Decimal("0.123456789013")


def test_only_a_cancelling_order_is_kept() -> None:
    assert order_life.kept(order("cancelling")).status == "accepted"
    assert order_life.kept(order("cancelling", "0.25")).status == "partially_filled"
    for status in set(OrderStatus) - {CANCELLING}:
        assert order_life.kept(order(status)).status == status


# --- any order of events ------------------------------------------------------------------------------------
@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Report], State]:
    """Draw what a venue truly reported of an order of 10, executions partly left out, and how it ended."""
    parts = draw(st.lists(st.integers(1, 4), max_size=4))
    found: list[Execution] = []
    reports = [report("accepted")] if draw(st.booleans()) else []
    for index, part in enumerate(parts):
        if sum(one.quantity for one in found) + part > 10:
            break
        found.append(execution(f"e{index}", str(part), str(100 + index)))
        told = draw(st.lists(st.sampled_from(found), unique_by=lambda one: one.id))
        total = sum((one.quantity for one in found), Decimal(0))
        reports.append(report("partially_filled", *told, filled=str(total)))
        if draw(st.booleans()):
            reports.append(report("cancelling", *told, filled=str(total)))
    total = sum((one.quantity for one in found), Decimal(0))
    full = total == 10
    end = "filled" if full else draw(st.sampled_from(["cancelled", "expired", *([] if found else ["rejected"])]))
    reports.append(report(end, filled=str(total)))
    reports.append(report(end, *found, filled=str(total)))
    notional = sum((one.quantity * one.price for one in found), Decimal(0))
    wanted = State(
        status=OrderStatus(end),
        quantity=Decimal(10),
        filled=total,
        claimed=total,
        notional=notional,
        venue_id="v",
        known=frozenset(one.id for one in found),
    )
    return reports, wanted


@given(history=histories(), data=st.data(), start=st.sampled_from(sorted(OURS)))
def test_any_shuffling_and_repeating_of_a_true_history_ends_the_same(
    history: tuple[list[Report], State], data: st.DataObject, start: OrderStatus
) -> None:
    reports, wanted = history
    more = data.draw(st.lists(st.sampled_from(reports), max_size=5))
    state = order(start, quantity="10")
    state = replace(state, venue_id="")
    booked: list[str] = []
    for said in data.draw(st.permutations([*reports, *more])):
        outcome = advance(state, said)
        assert outcome.state.status == state.status or outcome.state.status in ORDER_MOVES[state.status]
        assert outcome.state.filled >= state.filled
        assert not (outcome.state.ended and outcome.state.missing)
        booked += [one.id for one in outcome.executions]
        state = outcome.state
    assert state == wanted
    assert sorted(booked) == sorted(wanted.known), "every execution once"


# --- names ------------------------------------------------------------------------------------
def name(of: int = 17, attempt: int = 2, *, account: int = 1, opened_at: datetime = AT) -> str:
    return client_id(Purpose.EXIT, of, attempt, account_id=account, opened_at=opened_at)


def test_a_name_is_a_pure_function_that_every_venue_takes() -> None:
    assert name() == name()
    assert re.fullmatch(r"[a-z0-9]{5}x17t2", name())
    assert len(name(999_999_999, 99)) == 18


def test_names_differ_by_all_they_are_made_of() -> None:
    found = {
        client_id(purpose, of, attempt, account_id=account, opened_at=AT + timedelta(microseconds=micro))
        for purpose, of, attempt, account, micro in product(Purpose, (1, 11, 12, 112), (1, 2, 12), (1, 2), (0, 1))
    }
    assert len(found) == 3 * 4 * 3 * 2 * 2


def test_a_name_does_not_depend_on_the_time_zone() -> None:
    assert name() == name(opened_at=AT.astimezone(datetime.now().astimezone().tzinfo))


@pytest.mark.parametrize(("of", "attempt"), [(0, 1), (1, 0), (-1, 1)])
def test_a_name_is_of_something_that_is_stored(of: int, attempt: int) -> None:
    with pytest.raises(ValueError, match="stored"):
        name(of, attempt)
