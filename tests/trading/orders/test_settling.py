"""What a venue says of entry orders: lots with their legs from the first fill on, and books that balance."""

from datetime import timedelta
from decimal import Decimal

import pytest

from apps.domain.order_life import Note
from apps.domain.states import OrderStatus
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading.models import Account, Fill, LedgerEntry, LevelChange, Order, Position
from apps.trading.services import settling
from tests import factories
from tests.factories import books_balance, fresh, now, stop, target, trailing
from tests.trading.orders import venue
from tests.trading.orders.venue import entry, fill, report, say

pytestmark = pytest.mark.django_db


def kinds(subject: str) -> list[str]:
    return list(Event.objects.filter(subject=subject).order_by("id").values_list("kind", flat=True))


# --- entries ---------------------------------------------------------------------------------------------------------
def test_the_first_fill_makes_the_lot_with_its_legs(account: Account, instrument: Instrument) -> None:
    order = entry(account, instrument, stop("95"), target("110"), trailing("2"), quantity="2")
    answer = say(order, "partially_filled", fill("a", "0.5", "100", fee="0.05"))
    lot = Position.objects.get()
    assert (lot.quantity, lot.remaining, lot.cost, lot.entry_price, lot.fees) == (
        Decimal("0.5"),
        Decimal("0.5"),
        Decimal(50),
        Decimal(100),
        Decimal("0.05"),
    )
    assert (lot.side, lot.status) == ("long", "open")
    assert {leg.kind for leg in venue.live_legs(lot)} == {"stop_loss", "take_profit", "trailing_stop"}
    assert lot.legs.get(kind="trailing_stop").watermark.peak == 100
    assert LevelChange.objects.filter(position_id=lot.pk).exists()
    assert (answer.fills, answer.position_id, answer.status) == (1, lot.pk, "partially_filled")
    assert fresh(order).position_id == lot.pk
    assert kinds(f"position:{lot.pk}") == ["position.created"]
    assert books_balance(account)


def test_later_fills_enlarge_the_same_lot_at_the_average_price(account: Account, instrument: Instrument) -> None:
    order = entry(account, instrument, stop("95"), quantity="2")
    first, second = fill("a", "0.5", "100"), fill("b", "1.5", "104", fee="0.1")
    say(order, "partially_filled", first)
    say(order, "filled", first, second)
    lot = Position.objects.get()
    assert (lot.quantity, lot.remaining, lot.cost, lot.entry_price) == (2, 2, 206, 103)
    assert lot.legs.count() == 1
    assert kinds(f"position:{lot.pk}") == ["position.created", "position.enlarged"]
    done = fresh(order)
    assert (done.status, done.filled, done.notional, done.average_price) == ("filled", 2, 206, 103)
    assert done.ended_at
    assert done.accepted_at
    assert books_balance(account)


def test_a_report_that_comes_again_changes_nothing(account: Account, instrument: Instrument) -> None:
    order = entry(account, instrument, stop("95"))
    said = report(order, "filled", fill("a", "1"))
    settling.settle(order.pk, said, now=now())
    counts = [model.objects.count() for model in (Fill, LedgerEntry, Position, Event, LevelChange)]
    again = settling.settle(order.pk, said, now=now())
    assert (again.changed, again.fills) == (False, 0)
    assert [model.objects.count() for model in (Fill, LedgerEntry, Position, Event, LevelChange)] == counts


def test_a_stale_report_changes_nothing(account: Account, instrument: Instrument) -> None:
    order = entry(account, instrument)
    say(order, "filled", fill("a", "1"))
    assert not say(order, "accepted").changed
    assert fresh(order).status == "filled"


def test_an_entry_of_a_short_is_a_sale(account: Account, instrument: Instrument) -> None:
    lot = venue.lot(account, instrument, stop("105"), side="short", quantity="2")
    assert (lot.side, lot.quantity, lot.legs.get().rises) == ("short", 2, True)
    assert books_balance(account)


def test_a_level_counts_from_the_fill_not_from_when_we_heard_of_it(account: Account, instrument: Instrument) -> None:
    order = entry(account, instrument, stop("95"))
    at = order.sent_at + timedelta(milliseconds=300)
    say(order, "filled", fill("a", "1", at=at))
    lot = Position.objects.get()
    assert lot.legs.get().since == lot.opened_at == at


@pytest.mark.parametrize("skew", [timedelta(days=-3), timedelta(days=3)])
def test_a_venue_whose_clock_is_wrong_does_not_move_the_fill(
    account: Account, instrument: Instrument, skew: timedelta
) -> None:
    order = entry(account, instrument, stop("95"))
    say(order, "filled", fill("a", "1", at=now() + skew))
    assert order.sent_at <= Position.objects.get().opened_at <= now()


# --- fees ------------------------------------------------------------------------------------------------------------
def test_a_fee_in_the_base_asset_lessens_what_was_received(account: Account, instrument: Instrument) -> None:
    lot = venue.lot(account, instrument, quantity="1")
    assert lot.quantity == 1
    order = entry(account, instrument, quantity="2")
    say(order, "filled", fill("a", "2", "100", fee="0.002", asset="BTC"))
    lot = fresh(order).position
    assert (lot.quantity, lot.remaining, lot.cost, lot.fees) == (
        Decimal("1.998"),
        Decimal("1.998"),
        Decimal("199.8"),
        Decimal("0.2"),
    )
    booked = order.fills.get()
    assert (booked.quantity, booked.net, booked.fee, booked.fee_asset, booked.fee_paid) == (
        2,
        Decimal("1.998"),
        Decimal("0.2"),
        "BTC",
        Decimal("0.002"),
    )
    line = booked.ledger_entries.get()
    assert (line.cash, line.holdings, line.fees) == (-200, Decimal("199.8"), Decimal("0.2"))
    assert books_balance(account)


def test_a_fee_in_a_third_asset_has_a_ledger_line_of_its_own(account: Account, instrument: Instrument) -> None:
    order = entry(account, instrument)
    say(order, "filled", fill("a", "1", "100", fee="0.01", asset="BNB"))
    booked = order.fills.get()
    assert (booked.fee, booked.fee_asset, booked.fee_paid) == (0, "BNB", Decimal("0.01"))
    lines = {line.currency: (line.kind, line.cash, line.fees) for line in booked.ledger_entries.all()}
    assert lines == {"USD": ("open", -100, 0), "BNB": ("fee", Decimal("-0.01"), Decimal("0.01"))}
    assert fresh(order).position.fees == 0


@pytest.mark.parametrize(("fee", "asset"), [("-0.05", "USD"), ("-0.0005", "BTC"), ("-0.01", "BNB")])
def test_a_rebate_is_a_negative_fee(account: Account, instrument: Instrument, fee: str, asset: str) -> None:
    order = entry(account, instrument)
    say(order, "filled", fill("a", "1", "100", fee=fee, asset=asset))
    lot = fresh(order).position
    received = {"USD": Decimal(1), "BTC": Decimal("1.0005"), "BNB": Decimal(1)}[asset]
    assert (lot.quantity, lot.fees) == (received, {"USD": Decimal("-0.05"), "BTC": Decimal("-0.05"), "BNB": 0}[asset])
    cash = LedgerEntry.objects.get(fill__order=order, currency="USD").cash
    assert cash == {"USD": Decimal("-99.95"), "BTC": -100, "BNB": -100}[asset]


# --- unclear, refused, ended -----------------------------------------------------------------------------------------
def test_a_lost_answer_leaves_the_order_unknown_until_the_venue_says(account: Account, instrument: Instrument) -> None:
    order = entry(account, instrument)
    later = now() + timedelta(seconds=2)
    answer = settling.unclear(order.pk, "timed out", now(), later)
    assert (answer.status, answer.look_at) == ("unknown", later)
    assert kinds(f"order:{order.pk}") == ["order.unanswered"]
    assert not settling.unclear(order.pk, "timed out", now(), later).changed
    say(order, "filled", fill("a", "1"))
    assert fresh(order).status == "filled"
    assert fresh(order).look_at is None
    assert Position.objects.count() == 1


def test_a_refused_order_has_ended_and_opens_nothing(account: Account, instrument: Instrument) -> None:
    order = entry(account, instrument)
    assert settling.refused(order.pk, "insufficient funds", now()).status == "rejected"
    done = fresh(order)
    assert (done.status, done.why) == ("rejected", "insufficient funds")
    assert done.ended_at
    assert not settling.refused(order.pk, "again", now()).changed
    assert not Position.objects.exists()


def test_an_order_that_the_venue_has_cannot_be_refused_any_more(account: Account, instrument: Instrument) -> None:
    order = entry(account, instrument)
    say(order, "accepted")
    assert not settling.refused(order.pk, "a late answer", now()).changed
    assert fresh(order).status == "accepted"


def test_an_order_given_up_that_was_there_after_all_is_booked_and_questioned(
    account: Account, instrument: Instrument
) -> None:
    order = entry(account, instrument, stop("95"), quantity="2")
    settling.refused(order.pk, "the venue has never had it", now())
    answer = say(order, "partially_filled", fill("a", "0.5"))
    assert {Note.LATE, Note.STILL_WORKS} <= answer.notes
    lot = Position.objects.get()
    assert (lot.quantity, lot.legs.count()) == (Decimal("0.5"), 1)
    assert "order.questioned" in kinds(f"order:{order.pk}")
    say(order, "cancelled", fill("a", "0.5"))
    assert fresh(order).status == "cancelled"


def test_a_late_fill_after_a_cancel_enlarges_the_lot_that_is_open(account: Account, instrument: Instrument) -> None:
    order = entry(account, instrument, stop("95"), quantity="2")
    first, late = fill("a", "0.5"), fill("b", "0.25", "96")
    say(order, "cancelled", first)
    answer = say(order, "cancelled", first, late)
    assert answer.notes == {Note.LATE}
    lot = Position.objects.get()
    assert (lot.quantity, fresh(order).filled) == (Decimal("0.75"), Decimal("0.75"))
    assert "order.questioned" in kinds(f"order:{order.pk}")
    assert books_balance(account)


def test_a_late_fill_after_the_lot_was_closed_is_a_lot_of_its_own_with_the_same_legs(
    account: Account, instrument: Instrument
) -> None:
    order = entry(account, instrument, stop("95"), quantity="2")
    first, late = fill("a", "0.5"), fill("b", "0.25", "96")
    say(order, "cancelled", first)
    lot = Position.objects.get()
    out = venue.leaving(venue.claimed(lot), "0.5")
    say(out, "filled", fill("c", "0.5", "99"))
    assert fresh(lot).status == "closed"
    say(order, "cancelled", first, late)
    second = fresh(order).position
    assert second.pk != lot.pk
    assert (second.status, second.quantity, venue.live_legs(second)[0].level) == ("open", Decimal("0.25"), 95)
    assert kinds(f"position:{second.pk}") == ["position.created"]
    assert books_balance(account)


def test_more_than_was_ordered_is_booked_and_a_person_is_told(account: Account, instrument: Instrument) -> None:
    order = entry(account, instrument, stop("95"))
    answer = say(order, "filled", fill("a", "0.75"), fill("b", "0.5"))
    assert Note.OVERFILLED in answer.notes
    assert Position.objects.get().quantity == Decimal("1.25")
    assert Event.objects.get(kind="order.questioned").payload["notes"] == ["overfilled"]


def test_an_order_does_not_end_before_its_executions_are_known(account: Account, instrument: Instrument) -> None:
    order = entry(account, instrument)
    answer = say(order, "filled", filled="1")
    assert (answer.status, answer.notes) == ("partially_filled", {Note.MISSING})
    assert answer.look_at > now()
    assert not Position.objects.exists()
    answer = say(order, "filled", fill("a", "1"))
    assert (answer.status, answer.notes) == ("filled", frozenset())
    assert fresh(order).look_at is None


def test_an_execution_of_nothing_is_not_booked_and_a_person_is_told(account: Account, instrument: Instrument) -> None:
    order = entry(account, instrument)
    answer = say(order, "filled", fill("a", "1", "0"), filled="1")
    assert {Note.NONSENSE, Note.MISSING} == answer.notes
    assert not Fill.objects.exists()


def test_a_person_is_told_once_while_the_venue_says_the_same(account: Account, instrument: Instrument) -> None:
    order = entry(account, instrument, quantity="2")
    for _ in range(3):
        say(order, "filled", fill("a", "1", "0"), filled="1")
    assert Event.objects.filter(kind="order.questioned").count() == 1
    say(order, "filled", fill("a", "1", "0"), fill("b", "3"), filled="4")
    assert Event.objects.filter(kind="order.questioned").count() == 2


def test_an_execution_that_belongs_to_another_order_is_not_booked_again(
    account: Account, instrument: Instrument
) -> None:
    one, other = entry(account, instrument), entry(account, instrument)
    say(one, "filled", fill("a", "1"))
    say(other, "filled", fill("a", "1"))
    assert Fill.objects.count() == 1
    assert fresh(other).status == "partially_filled"


def test_the_same_execution_number_at_another_account_is_another_execution(instrument: Instrument) -> None:
    first = venue.make_account()
    second = venue.make_account(user=first.owner, name="second")
    for account in (first, second):
        say(entry(account, instrument), "filled", fill("a", "1"))
    assert Fill.objects.count() == 2


def test_a_refused_cancel_lets_the_order_work_on(account: Account, instrument: Instrument) -> None:
    order = entry(account, instrument)
    say(order, "accepted")
    Order.objects.filter(pk=order.pk).update(status=OrderStatus.CANCELLING, cancel_asked_at=now())
    assert not say(order, "accepted").changed, "a late report is no refusal"
    assert settling.kept(order.pk, "too late to cancel", now()).status == "accepted"
    assert fresh(order).cancel_asked_at is None


def test_a_report_after_settling_asks_for_the_time_to_look_again(account: Account, instrument: Instrument) -> None:
    order = entry(account, instrument)
    later = now() + timedelta(seconds=5)
    settling.settle(order.pk, report(order, "accepted"), now=now(), look_at=later)
    assert fresh(order).look_at == later
    assert factories.fresh(order).venue_id == f"v{order.pk}"
