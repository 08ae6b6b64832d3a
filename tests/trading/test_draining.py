"""Executing exits: what is filled at which price, what is written, and what is not."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from apps.domain.legs import ExitReason
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading import sweeping
from apps.trading.models import Account, Drain, Exit, LevelChange, Position
from apps.trading.services import exits
from tests import factories
from tests.factories import break_even, crossing, drain, fresh, leg_of, now, record, stop, target, time_stop, trailing

pytestmark = pytest.mark.django_db
Open = Callable[..., Position]
# opening side and leg, crossing price, best price so far, profit
CLOSES = {
    "long stop": ("long", stop("95"), "95", None, "-5"),
    "long stop in a gap": ("long", stop("95"), "80", None, "-20"),
    "long target": ("long", target("110"), "110", None, "10"),
    "long target in a gap": ("long", target("110"), "125", None, "25"),
    "short stop": ("short", stop("105"), "105", None, "-5"),
    "short stop in a gap": ("short", stop("105"), "131", None, "-31"),
    "short target": ("short", target("90"), "90", None, "10"),
    "long trail": ("long", trailing("2"), "104", "106", "4"),
    "short trail": ("short", trailing("2"), "96", "94", "4"),
    "long trail by rate": ("long", trailing("0.02", rate=True), "107.8", "110", "7.8"),
    "short trail by rate": ("short", trailing("0.02", rate=True), "91.8", "90", "8.2"),
    "woken trail": ("long", trailing("2", activation="105"), "103", "105", "3"),
    "long break-even": ("long", break_even("100.5", "105"), "100.5", "105", "0.5"),
    "short break-even": ("short", break_even("99.5", "95"), "99.6", "94", "0.4"),
}


@pytest.mark.parametrize(("side", "leg", "price", "peak", "pnl"), CLOSES.values(), ids=CLOSES)
def test_a_crossed_leg_closes_the_position_at_the_price_that_crossed(
    open_position: Open, side: str, leg, price: str, peak: str | None, pnl: str
) -> None:
    position = open_position(leg, side=side, quantity="2")
    drained = factories.cross(position.legs.all(), price, peak=peak)
    position = fresh(position)
    assert (drained.done, drained.superseded, drained.waiting, drained.more) == (1, 0, 0, False)
    assert (position.status, position.remaining, position.cost) == ("closed", 0, 0)
    assert (position.exit_reason, position.exit_price) == (leg.kind, Decimal(price))
    assert position.realised_pnl == Decimal(pnl) * 2
    assert position.closed_at is not None
    (exit_,) = factories.exits_of(position)
    assert (exit_.status, exit_.quantity, exit_.fill_price, exit_.late) == ("done", 2, Decimal(price), False)
    assert position.last_exit_id == exit_.pk
    fill = exit_.fills.get()
    assert (fill.buy, fill.quantity, fill.price, fill.client_id) == (
        side == "short",
        2,
        Decimal(price),
        f"x{exit_.pk}-1",
    )
    assert position.legs.get().status == "done"
    assert factories.books_balance(position.account)
    sheet = position.account.ledger.get(fill=fill)
    assert (sheet.kind, sheet.pnl) == ("close", -position.realised_pnl)


def test_every_time_is_kept_from_the_tick_to_the_commit(open_position: Open) -> None:
    position = open_position(stop("95"))
    factories.cross(position.legs.all(), "94")
    (exit_,) = factories.exits_of(position)
    drain_row = Drain.objects.get()
    times = [exit_.tick_at, exit_.recorded_at, drain_row.claimed_at, exit_.closed_at, drain_row.committed_at]
    assert exit_.drain_id == drain_row.pk
    # the exit's own instant is that of its transaction, which in this test is the test's
    assert sorted(times[2:]) == times[2:]
    assert drain_row.worker == "test"


def test_the_other_legs_of_a_closed_position_are_cancelled_and_the_listeners_told(open_position: Open) -> None:
    position = open_position(stop("95"), target("110"), trailing("3"))
    before = LevelChange.objects.count()
    factories.cross([leg_of(position, "take_profit")], "110")
    assert dict(position.legs.values_list("kind", "status")) == {
        "stop_loss": "cancelled",
        "take_profit": "done",
        "trailing_stop": "cancelled",
    }
    assert LevelChange.objects.count() == before + 1


def test_a_part_leaves_its_fraction_and_the_rest_stays(instrument: Instrument) -> None:
    account = factories.make_account(fee_rate="0.001")
    position = factories.opened(
        account, instrument, target("110", "0.5"), target("120", "0.25"), stop("95"), quantity="2"
    )
    first = position.legs.get(level=110)
    factories.cross([first], "111")
    position = fresh(position)
    assert (position.status, position.remaining, position.cost) == ("open", 1, 100)
    assert (position.exit_price, position.realised_pnl, position.exit_reason) == (111, 11, "take_profit")
    assert position.closed_at is None
    assert dict(position.legs.values_list("level", "status")) == {110: "done", 120: "live", 95: "live"}
    reduced = Event.objects.get(kind="position.reduced").payload
    assert (reduced["remaining"], reduced["exit_price"], reduced["status"]) == ("1", "111", "open")
    factories.cross(position.legs.filter(level=120), "120")
    factories.cross(position.legs.filter(level=95), "90")
    position = fresh(position)
    assert (position.status, position.remaining, position.cost) == ("closed", 0, 0)
    # 1 at 111, 0.5 at 120, 0.5 at 90
    assert position.exit_price == Decimal("108")
    assert position.realised_pnl == 11 + 10 - 5
    assert position.fees == Decimal("0.2") + Decimal("0.111") + Decimal("0.06") + Decimal("0.045")
    assert factories.books_balance(account)


def test_the_legs_of_one_tick_leave_in_order_and_what_is_too_much_is_superseded(open_position: Open) -> None:
    position = open_position(stop("95", "0.6"), stop("96", "0.4"), trailing("2"), quantity="1")
    at = now()
    record([crossing(leg, "90", at=at, peak="100" if leg.trail else None) for leg in position.legs.all()])
    drained = drain()
    assert (drained.done, drained.superseded) == (2, 1)
    states = {exit_.reason: (exit_.status, exit_.note) for exit_ in factories.exits_of(position)}
    assert states["trailing_stop"] == ("superseded", "the position was closed by an earlier exit")
    assert fresh(position).exit_reason == "stop_loss"
    assert sum(exit_.quantity or 0 for exit_ in factories.exits_of(position)) == 1


def test_a_stop_and_a_target_seen_at_once_close_by_the_stop(open_position: Open) -> None:
    position = open_position(stop("95"), target("110"))
    at = now()
    legs = {leg.kind: leg for leg in position.legs.all()}
    record([crossing(legs["take_profit"], "111", at=at), crossing(legs["stop_loss"], "94", at=at)])
    drain()
    assert (fresh(position).exit_reason, fresh(position).exit_price) == ("stop_loss", 94)


# --- events ---------------------------------------------------------------------------------------------------------
def test_the_journal_says_what_was_closed_in_the_same_transaction(open_position: Open) -> None:
    position = open_position(stop("95"), quantity="2")
    factories.cross(position.legs.all(), "94.50")
    event = Event.objects.get(kind="position.closed")
    position = fresh(position)
    assert (event.subject, event.account_id) == (f"position:{position.pk}", position.account_id)
    latency = event.payload.pop("tick_to_close_ms")
    assert 0 < latency < 60_000
    assert event.payload.pop("closed_at") is not None
    assert event.payload == {
        "position": position.pk,
        "account": position.account_id,
        "instrument": "BTC-USD",
        "side": "long",
        "quantity": "2",
        "remaining": "0",
        "entry_price": "100",
        "status": "closed",
        "exit_reason": "stop_loss",
        "exit_price": "94.5",
        "realised_pnl": "-11",
        "fees": "0",
        "opened_at": position.opened_at.isoformat(),
        "exits": [position.last_exit_id],
    }


# --- requests and time stops ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(("side", "price"), [("long", "98"), ("short", "102")])
def test_a_person_leaves_at_what_the_market_gives(
    open_position: Open, instrument: Instrument, side: str, price: str
) -> None:
    position = open_position(side=side)
    factories.set_quote(instrument, "100", bid="98", ask="102")
    exits.request_exit(position_id=position.pk, reason=ExitReason.MANUAL, source="admin", now=now())
    assert drain().done == 1
    assert (fresh(position).exit_price, fresh(position).exit_reason) == (Decimal(price), "manual")


def test_a_time_stop_leaves_when_it_is_due_and_not_before(open_position: Open) -> None:
    at = now() - timedelta(seconds=10)
    due, later = (open_position(time_stop(at + timedelta(seconds=s)), at=at) for s in (5, 60))
    factories.lead(3, "sweeper")
    assert sweeping.time_stops(epoch=3) == 1
    assert sweeping.time_stops(epoch=3) == 0
    assert drain().done == 1
    assert (fresh(due).status, fresh(due).exit_reason) == ("closed", "time_stop")
    assert fresh(later).status == "open"
    assert factories.exits_of(due)[0].tick_at == due.legs.get().due_at


def test_an_exit_that_needs_a_price_waits_for_one(open_position: Open, instrument: Instrument) -> None:
    position = open_position()
    instrument_quote = instrument.quote
    instrument_quote.delete()
    exits.request_exit(position_id=position.pk, reason=ExitReason.API, source="api", now=now())
    waited = drain()
    assert (waited.done, waited.waiting, waited.more) == (0, 1, False)
    assert fresh(position).status == "open"
    factories.set_quote(instrument, "97")
    assert drain().done == 1
    assert fresh(position).exit_price == 97


# --- late -----------------------------------------------------------------------------------------------------------
def test_an_exit_executed_after_an_outage_fills_at_the_quote_then_in_force_and_says_so(
    open_position: Open, instrument: Instrument
) -> None:
    position = open_position(stop("95"), at=now() - timedelta(seconds=9))
    record([crossing(leg_of(position, "stop_loss"), "94", at=now() - timedelta(seconds=8))])
    factories.set_quote(instrument, "80", bid="79.5")
    assert drain().done == 1
    (exit_,) = factories.exits_of(position)
    assert (exit_.fill_price, exit_.late, exit_.trigger_price) == (Decimal("79.5"), True, 94)
    assert fresh(position).exit_price == Decimal("79.5")


def test_an_exit_executed_soon_enough_fills_at_its_own_price(open_position: Open, instrument: Instrument) -> None:
    position = open_position(stop("95"), at=now() - timedelta(seconds=9))
    record([crossing(leg_of(position, "stop_loss"), "94", at=now() - timedelta(seconds=2))])
    factories.set_quote(instrument, "80")
    drain()
    (exit_,) = factories.exits_of(position)
    assert (exit_.fill_price, exit_.late) == (94, False)


# --- superseded -----------------------------------------------------------------------------------------------------
def test_what_the_locked_row_does_not_confirm_is_superseded_and_can_trigger_again(open_position: Open) -> None:
    position = open_position(stop("95"))
    before = LevelChange.objects.count()
    drained = factories.cross(position.legs.all(), "95.01")
    assert (drained.done, drained.superseded) == (0, 1)
    (exit_,) = factories.exits_of(position)
    assert (exit_.status, exit_.note) == ("superseded", "the price did not cross the level of the locked row")
    assert LevelChange.objects.count() == before + 1  # the listeners must watch the leg again
    assert factories.cross(position.legs.all(), "95").done == 1


def test_an_exit_that_arrives_after_the_close_is_superseded(open_position: Open) -> None:
    position = open_position(stop("95"))
    factories.cross(position.legs.all(), "94")
    late = Exit.objects.create(position=position, reason="manual", source="api", tick_at=now(), seen_at=now())
    assert drain().superseded == 1
    assert (fresh(late).status, fresh(late).note) == ("superseded", "the position was closed by an earlier exit")
    assert fresh(position).last_exit_id != late.pk


# --- batches --------------------------------------------------------------------------------------------------------
def test_draining_nothing_writes_nothing() -> None:
    drained = drain()
    assert (drained.done, drained.superseded, drained.waiting, drained.more) == (0, 0, 0, False)
    assert Drain.objects.count() == 0


def test_a_full_batch_says_that_there_may_be_more(account: Account, instrument: Instrument) -> None:
    positions = factories.many(account, instrument, 25, stop("95"))
    record([crossing(leg_of(position, "stop_loss"), "94") for position in positions])
    batches = [drain(limit=10) for _ in range(3)]
    assert [(batch.done, batch.more) for batch in batches] == [(10, True), (10, True), (5, False)]
    assert not Position.objects.filter(status="open").exists()
    assert Event.objects.filter(kind="position.closed").count() == 25
    assert factories.books_balance(account)


def test_longs_shorts_and_instruments_go_in_one_batch(account: Account, instrument: Instrument) -> None:
    ether = factories.make_instrument("ETH-USD", "10")
    rows = [
        (factories.opened(account, instrument, stop("95")), "94", -6),
        (factories.opened(account, instrument, target("90"), side="short"), "89", 11),
        (factories.opened(account, ether, target("11"), quantity="3"), "11", 3),
    ]
    record([crossing(position.legs.get(), price) for position, price, _ in rows])
    assert drain().done == 3
    assert Drain.objects.count() == 1
    assert [fresh(position).realised_pnl for position, _, _ in rows] == [pnl for _, _, pnl in rows]
    assert factories.books_balance(account)


# --- a row that cannot be executed ----------------------------------------------------------------------------------
def test_one_impossible_exit_fails_alone_and_is_told(open_position: Open, caplog: pytest.LogCaptureFixture) -> None:
    fine, broken = open_position(stop("95")), open_position(stop("95"), quantity="2")
    position = fresh(broken)
    # More fees than a column holds: what a bug or a damaged row would do.
    Position.objects.filter(pk=position.pk).update(fees=Decimal("999999999999999.9"))
    position.account.fee_rate = Decimal("0.9")
    position.account.save()
    record([crossing(leg_of(one, "stop_loss"), "94") for one in (fine, broken)])
    drained = drain()
    assert drained.done == 1
    assert (fresh(fine).status, fresh(broken).status) == ("closed", "open")
    (failed,) = factories.exits_of(broken)
    assert failed.status == "failed"
    assert failed.note
    event = Event.objects.get(kind="exit.failed")
    assert (event.account_id, event.payload["exits"]) == (broken.account_id, [failed.pk])
    assert "cannot be executed" in caplog.text
