"""Orders that leave a position: parts, rests, dust, stops kept at the venue, and what is too much."""

from decimal import Decimal

import pytest

from apps.domain.order_life import Note
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading.models import Account, Exit, Fill, LedgerEntry, Order, Position
from apps.trading.services import order_exits, settling
from tests import factories
from tests.factories import fresh, leg_of, now, stop, target
from tests.trading.orders import venue
from tests.trading.orders.venue import claimed, fill, leaving, protecting, say, sound

pytestmark = pytest.mark.django_db


@pytest.fixture
def lot(account: Account, instrument: Instrument) -> Position:
    """A long lot of one at 100 with a stop and a target."""
    return venue.lot(account, instrument, stop("95"), target("110"))


def kinds(position: Position) -> list[str]:
    rows = Event.objects.filter(subject=f"position:{position.pk}").order_by("id")
    return list(rows.values_list("kind", flat=True))


# --- the whole -------------------------------------------------------------------------------------------------------
def test_a_filled_exit_closes_the_lot(lot: Position) -> None:
    exit_ = claimed(lot, leg_of(lot, "stop_loss"))
    answer = say(leaving(exit_), "filled", fill("x", "1", "94", fee="0.2"))
    closed, done = fresh(lot), fresh(exit_)
    assert (closed.status, closed.remaining, closed.cost) == ("closed", 0, 0)
    assert (closed.realised_pnl, closed.fees, closed.exit_price, closed.exit_reason) == (
        -6,
        Decimal("0.2"),
        94,
        "stop_loss",
    )
    assert closed.last_exit_id == exit_.pk
    assert (done.status, done.quantity, done.fill_price, done.fee, done.pnl) == ("done", 1, 94, Decimal("0.2"), -6)
    assert done.closed_at == closed.closed_at
    assert {leg.kind: leg.status for leg in lot.legs.all()} == {"stop_loss": "done", "take_profit": "cancelled"}
    assert (answer.closed, answer.rest, answer.again) == (True, 0, False)
    assert kinds(lot) == ["position.created", "position.closed"]
    assert sound(lot.account)


def test_the_event_of_a_close_says_what_the_one_of_paper_says(account: Account, lot: Position) -> None:
    paper = factories.make_account(user=account.owner, name="at once")
    other = factories.opened(paper, lot.instrument, stop("95"))
    factories.cross(other.legs.all(), "94")
    say(leaving(claimed(lot, leg_of(lot, "stop_loss"))), "filled", fill("x", "1", "94"))
    ours, theirs = (Event.objects.get(kind="position.closed", subject=f"position:{one.pk}") for one in (lot, other))
    assert ours.payload.keys() == theirs.payload.keys()
    same = ("side", "quantity", "remaining", "entry_price", "status", "exit_reason", "exit_price", "realised_pnl")
    assert [ours.payload[key] for key in same] == [theirs.payload[key] for key in same]
    assert ours.payload["tick_to_close_ms"] >= 0


def test_a_short_is_left_by_buying(account: Account, instrument: Instrument) -> None:
    lot = venue.lot(account, instrument, stop("105"), side="short")
    say(leaving(claimed(lot)), "filled", fill("x", "1", "90"))
    assert (fresh(lot).status, fresh(lot).realised_pnl) == ("closed", 10)
    assert sound(account)


# --- parts and rests -------------------------------------------------------------------------------------------------
def test_a_part_that_is_filled_reduces_and_the_exit_waits_for_the_rest(lot: Position) -> None:
    exit_ = claimed(lot, leg_of(lot, "stop_loss"))
    order = leaving(exit_)
    answer = say(order, "partially_filled", fill("x", "0.25", "94"))
    assert (fresh(lot).status, fresh(lot).remaining, fresh(lot).cost) == ("closing", Decimal("0.75"), 75)
    assert (fresh(exit_).status, fresh(exit_).quantity) == ("claimed", Decimal("0.25"))
    assert (answer.rest, answer.again) == (0, False)
    assert kinds(lot)[1:] == ["position.reduced"]
    assert sound(lot.account)


def test_an_order_that_ends_with_a_rest_asks_for_another(lot: Position) -> None:
    exit_ = claimed(lot, leg_of(lot, "stop_loss"))
    first = fill("x", "0.25", "94")
    answer = say(leaving(exit_), "cancelled", first)
    assert (answer.rest, answer.again) == (Decimal("0.75"), True)
    assert (fresh(lot).status, fresh(exit_).status) == ("closing", "claimed")
    second = leaving(exit_, "0.75", attempt=2)
    assert say(second, "filled", fill("y", "0.75", "90")).closed
    assert (fresh(exit_).quantity, fresh(exit_).fill_price) == (1, 91)
    assert fresh(lot).exit_price == 91
    assert sound(lot.account)


@pytest.mark.parametrize("how", ["rejected by the venue", "refused at once"])
def test_an_exit_whose_order_was_refused_asks_for_another(lot: Position, how: str) -> None:
    exit_ = claimed(lot)
    order = leaving(exit_)
    answer = say(order, "rejected") if how.startswith("rej") else settling.refused(order.pk, "no", now())
    assert (answer.status, answer.rest) == ("rejected", 1)
    assert (fresh(exit_).status, fresh(lot).status) == ("claimed", "closing")


def test_a_leg_for_a_part_is_done_when_its_order_is_filled(account: Account, instrument: Instrument) -> None:
    lot = venue.lot(account, instrument, target("110", "0.5"), stop("95"))
    exit_ = claimed(lot, leg_of(lot, "take_profit"))
    answer = say(leaving(exit_, "0.5"), "filled", fill("x", "0.5", "111"))
    assert (answer.rest, answer.closed) == (0, False)
    assert (fresh(exit_).status, fresh(lot).status, fresh(lot).remaining) == ("done", "open", Decimal("0.5"))
    assert {leg.kind: leg.status for leg in lot.legs.all()} == {"take_profit": "done", "stop_loss": "live"}
    assert sound(account)


def test_a_leg_for_a_part_asks_again_for_its_own_rest_only(account: Account, instrument: Instrument) -> None:
    lot = venue.lot(account, instrument, target("110", "0.5"), stop("95"))
    exit_ = claimed(lot, leg_of(lot, "take_profit"))
    assert say(leaving(exit_, "0.5"), "expired", fill("x", "0.2", "111")).rest == Decimal("0.3")
    say(leaving(exit_, "0.3", attempt=2), "filled", fill("y", "0.3", "111"))
    assert (fresh(exit_).status, fresh(lot).remaining) == ("done", Decimal("0.5"))


def test_an_exit_of_everything_also_leaves_what_a_late_entry_fill_added(
    account: Account, instrument: Instrument
) -> None:
    order = venue.entry(account, instrument, stop("95"), quantity="2")
    first, late = fill("a", "1"), fill("b", "0.5")
    say(order, "cancelled", first)
    lot = fresh(order).position
    exit_ = claimed(lot, leg_of(lot, "stop_loss"))
    out = leaving(exit_, "1")
    say(order, "cancelled", first, late)
    answer = say(out, "filled", fill("x", "1", "94"))
    assert (answer.rest, answer.again) == (Decimal("0.5"), True)
    say(leaving(exit_, "0.5", attempt=2), "filled", fill("y", "0.5", "94"))
    assert fresh(lot).status == "closed"
    assert sound(account)


def test_closing_ends_what_else_was_leaving_and_asks_its_orders_back(account: Account, instrument: Instrument) -> None:
    lot = venue.lot(account, instrument, target("110", "0.5"), stop("95"))
    begun = claimed(lot, leg_of(lot, "take_profit"))
    half = leaving(begun, "0.5")
    say(half, "partially_filled", fill("x", "0.2", "111"))
    exit_ = claimed(lot, leg_of(lot, "stop_loss"))
    say(leaving(exit_, "0.8"), "filled", fill("y", "0.8", "94"))
    assert fresh(lot).status == "closed"
    assert (fresh(begun).status, fresh(begun).quantity) == ("done", Decimal("0.2"))
    assert fresh(half).cancel_asked_at is not None
    assert {leg.status for leg in lot.legs.all()} == {"done"}
    say(half, "cancelled", fill("x", "0.2", "111"))
    assert sound(account)


# --- fees and dust ---------------------------------------------------------------------------------------------------
def test_what_a_fee_left_unsellable_is_written_off(account: Account, instrument: Instrument) -> None:
    order = venue.entry(account, instrument, stop("95"))
    say(order, "filled", fill("a", "1", "100", fee="0.00105", asset="BTC"))
    lot = fresh(order).position
    assert lot.remaining == Decimal("0.99895")
    exit_ = claimed(lot)
    answer = say(leaving(exit_, "0.9989"), "filled", fill("x", "0.9989", "110"))
    assert answer.closed
    closed = fresh(lot)
    assert (closed.status, closed.remaining, closed.cost) == ("closed", 0, 0)
    line = LedgerEntry.objects.get(kind="dust")
    assert (line.position_id, line.quantity, line.cash, line.holdings, line.pnl) == (
        lot.pk,
        Decimal("0.00005"),
        0,
        Decimal("-0.005"),
        Decimal("0.005"),
    )
    assert closed.realised_pnl == Decimal("9.989") - Decimal("0.005")
    assert "position.dust_discarded" in kinds(lot)
    assert sound(account)


def test_dust_is_kept_while_another_order_of_the_lot_may_fill(account: Account, instrument: Instrument) -> None:
    order = venue.entry(account, instrument, stop("95"), quantity="2")
    say(order, "partially_filled", fill("a", "1", "100", fee="0.00105", asset="BTC"))
    lot = fresh(order).position
    say(leaving(claimed(lot), "0.9989"), "filled", fill("x", "0.9989", "110"))
    assert (fresh(lot).status, fresh(lot).remaining) == ("closing", Decimal("0.00005"))


def test_a_lot_that_never_was_more_than_dust_is_written_off_when_it_is_to_be_left(
    account: Account, instrument: Instrument
) -> None:
    order = venue.entry(account, instrument, stop("95"))
    say(order, "cancelled", fill("a", "0.00005"))
    lot = fresh(order).position
    exit_ = claimed(lot, leg_of(lot, "stop_loss"))
    assert order_exits.rest_of(exit_, lot) == 0
    assert order_exits.write_off(exit_.pk, now=now())
    assert (fresh(lot).status, fresh(exit_).status) == ("closed", "superseded")
    assert not order_exits.write_off(exit_.pk, now=now())
    assert sound(account)


def test_what_can_be_sold_is_never_written_off(lot: Position) -> None:
    assert not order_exits.write_off(claimed(lot).pk, now=now())
    assert fresh(lot).status == "closing"


def test_a_fee_of_an_exit_in_the_base_asset_leaves_too(account: Account, instrument: Instrument) -> None:
    lot = venue.lot(account, instrument, quantity="2")
    say(leaving(claimed(lot), "1"), "cancelled", fill("x", "1", "110", fee="0.01", asset="BTC"))
    held = fresh(lot)
    assert (held.remaining, held.cost, held.fees) == (Decimal("0.99"), 99, Decimal("1.1"))
    assert LedgerEntry.objects.get(kind="close").cash == 110
    assert sound(account)


def test_a_base_fee_that_the_lot_cannot_pay_is_no_overfill(account: Account, instrument: Instrument) -> None:
    lot = venue.lot(account, instrument)
    say(leaving(claimed(lot)), "filled", fill("x", "1", "110", fee="0.01", asset="BTC"))
    assert (fresh(lot).status, Position.objects.count()) == ("closed", 1)
    assert LedgerEntry.objects.get(kind="close").cash == 110
    assert sound(account)


def test_a_third_asset_pays_for_an_exit(lot: Position) -> None:
    say(leaving(claimed(lot)), "filled", fill("x", "1", "110", fee="0.01", asset="BNB"))
    assert LedgerEntry.objects.get(currency="BNB").cash == Decimal("-0.01")
    paid = LedgerEntry.objects.filter(currency="USD").values_list("fees", flat=True)
    assert sum(paid) == 0
    assert sound(lot.account)


# --- too much --------------------------------------------------------------------------------------------------------
def test_a_late_fill_of_an_earlier_attempt_is_bought_back(lot: Position) -> None:
    exit_ = claimed(lot)
    early, late = fill("x", "0.5", "94"), fill("z", "0.5", "94")
    first = leaving(exit_)
    say(first, "cancelled", early)
    say(leaving(exit_, "0.5", attempt=2), "filled", fill("y", "0.5", "94"))
    assert fresh(lot).status == "closed"
    answer = say(first, "cancelled", early, late)
    assert Note.LATE in answer.notes
    other = Position.objects.exclude(pk=lot.pk).get()
    assert (other.side, other.remaining, other.entry_price, other.status) == ("short", Decimal("0.5"), 94, "open")
    back = Exit.objects.get(position=other)
    assert (back.reason, back.status) == ("risk", "triggered")
    assert Event.objects.get(kind="order.exceeded").payload["beyond"] == "0.5"
    back.delete()
    assert sound(lot.account)


def test_a_late_fill_of_a_leg_that_is_done_leaves_more_of_the_lot(account: Account, instrument: Instrument) -> None:
    lot = venue.lot(account, instrument, target("110", "0.5"), stop("95"))
    exit_ = claimed(lot, leg_of(lot, "take_profit"))
    early, late = fill("x", "0.2", "111"), fill("z", "0.1", "112")
    first = leaving(exit_, "0.5")
    say(first, "cancelled", early)
    say(leaving(exit_, "0.3", attempt=2), "filled", fill("y", "0.3", "111"))
    assert fresh(exit_).status == "done"
    say(first, "cancelled", early, late)
    assert (fresh(lot).status, fresh(lot).remaining) == ("open", Decimal("0.4"))
    assert (fresh(exit_).status, fresh(exit_).quantity) == ("done", Decimal("0.6"))
    assert {leg.kind: leg.status for leg in lot.legs.all()} == {"take_profit": "done", "stop_loss": "live"}
    assert sound(account)


@pytest.mark.parametrize("status", ["failed", "superseded"])
def test_a_late_fill_of_an_exit_that_was_set_aside_is_booked(lot: Position, status: str) -> None:
    exit_ = claimed(lot)
    order = leaving(exit_)
    say(order, "cancelled")
    Exit.objects.filter(pk=exit_.pk).update(status=status)
    Position.objects.filter(pk=lot.pk).update(status="open")
    say(order, "filled", fill("x", "1", "94"))
    assert (fresh(lot).status, fresh(exit_).status, fresh(exit_).quantity) == ("closed", status, 1)
    assert sound(lot.account)


def test_an_execution_that_goes_beyond_the_lot_is_cut_in_two(lot: Position) -> None:
    exit_ = claimed(lot)
    said = fill("x", "1.5", "94", fee="0.3")
    order = leaving(exit_)
    answer = say(order, "filled", said)
    assert Note.OVERFILLED in answer.notes
    assert fresh(lot).status == "closed"
    other = Position.objects.exclude(pk=lot.pk).get()
    assert (other.side, other.quantity, other.fees) == ("short", Decimal("0.5"), 0)
    assert not Exit.objects.filter(position=other).exists(), "more than was ordered is for a person to judge"
    assert sorted(Fill.objects.filter(order=order).values_list("quantity", flat=True)) == [Decimal("0.5"), 1]
    assert not say(order, "filled", said).changed
    assert Fill.objects.filter(order=order).count() == 2
    assert sound(lot.account)


def test_a_base_fee_goes_with_the_part_beyond(lot: Position) -> None:
    say(leaving(claimed(lot), "1.5"), "filled", fill("x", "1.5", "100", fee="0.01", asset="BTC"))
    other = Position.objects.exclude(pk=lot.pk).get()
    assert (other.side, other.quantity) == ("short", Decimal("0.51"))
    cash = sum(LedgerEntry.objects.filter(fill__order__purpose="exit").values_list("cash", flat=True))
    assert cash == 150


# --- a stop kept at the venue ----------------------------------------------------------------------------------------
def test_a_stop_that_the_venue_executed_has_an_exit_of_its_own(lot: Position) -> None:
    order = protecting(lot, "95")
    say(order, "filled", fill("x", "1", "94.5"))
    exit_ = Exit.objects.get()
    assert (exit_.leg, exit_.reason, exit_.source, exit_.status) == (
        leg_of_any(lot, "stop_loss"),
        "stop_loss",
        "venue",
        "done",
    )
    assert (fresh(lot).status, fresh(lot).exit_reason) == ("closed", "stop_loss")
    assert sound(lot.account)


def leg_of_any(position: Position, kind: str) -> object:
    return position.legs.get(kind=kind)


@pytest.mark.parametrize("status", ["triggered", "claimed"])
def test_a_stop_that_the_listener_saw_too_is_one_exit(lot: Position, status: str) -> None:
    exit_ = claimed(lot, leg_of(lot, "stop_loss"))
    Exit.objects.filter(pk=exit_.pk).update(status=status)
    order = protecting(lot, "95")
    say(order, "filled", fill("x", "1", "94.5"))
    assert Exit.objects.count() == 1
    assert fresh(exit_).status == "done"
    assert sound(lot.account)


def test_an_exit_order_waiting_behind_a_stop_that_filled_is_never_sent(lot: Position) -> None:
    exit_ = claimed(lot)
    waiting = leaving(exit_, status="new")
    say(protecting(lot, "95"), "filled", fill("x", "1", "94.5"))
    assert fresh(waiting).status == "cancelled"
    assert fresh(lot).status == "closed"


def test_a_stop_that_was_taken_back_after_a_part_leaves_the_rest_to_its_exit(lot: Position) -> None:
    order = protecting(lot, "95")
    say(order, "partially_filled", fill("x", "0.4", "94.5"))
    exit_ = Exit.objects.get()
    assert (exit_.status, exit_.quantity) == ("claimed", Decimal("0.4"))
    say(order, "cancelled", fill("x", "0.4", "94.5"))
    assert order_exits.rest_of(fresh(exit_), fresh(lot)) == Decimal("0.6")
    say(leaving(exit_, "0.6"), "filled", fill("y", "0.6", "94"))
    assert (fresh(lot).status, fresh(exit_).quantity) == ("closed", 1)
    assert sound(lot.account)


def test_a_stop_that_was_taken_back_unfilled_changes_nothing(lot: Position) -> None:
    say(protecting(lot, "95"), "cancelled")
    assert not Exit.objects.exists()
    assert fresh(lot).status == "open"
    assert Order.objects.filter(status="cancelled").count() == 1
