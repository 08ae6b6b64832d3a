"""Opening positions: what is stored, what is refused, and that a repeat opens nothing."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from threading import Barrier, Thread

import pytest
from django.db import connection

from apps.domain.errors import Refused
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.strategies.models import Signal, Strategy
from apps.trading.models import Account, ExitLeg, Fill, LedgerEntry, LevelChange, Position, Watermark
from apps.trading.services import positions
from apps.trading.services.positions import NoQuote
from tests import factories
from tests.factories import break_even, now, stop, target, time_stop, trailing, wish

pytestmark = pytest.mark.django_db
ROWS = (Position, ExitLeg, Watermark, Fill, LevelChange)


def counts() -> list[int]:
    return [model.objects.count() for model in (*ROWS, LedgerEntry, Event)]


def test_an_opening_stores_everything_that_follows_from_it(instrument: Instrument) -> None:
    account = factories.make_account(fee_rate="0.001", slippage_rate="0.001")
    at = now()
    wished = wish(account, instrument, stop("95"), target("110"), trailing("2"), quantity="2", actor="ada")
    answer = positions.open_position(wished, now=at)
    position = factories.fresh(answer.position)
    assert answer.created
    assert (position.status, position.side, position.opened_at) == ("open", "long", at)
    assert (position.quantity, position.remaining, position.entry_price) == (2, 2, Decimal("100.1"))
    assert (position.cost, position.fees, position.realised_pnl) == (Decimal("200.2"), Decimal("0.2002"), 0)
    fill = position.fills.get()
    assert (fill.buy, fill.price, fill.quantity, fill.fee, fill.exit) == (
        True,
        Decimal("100.1"),
        2,
        Decimal("0.2002"),
        None,
    )
    line = fill.ledger_entries.get()
    assert (line.kind, line.currency) == ("open", "USD")
    assert (line.cash, line.holdings, line.fees) == (Decimal("-200.4002"), Decimal("200.2"), Decimal("0.2002"))
    event = Event.objects.get(kind="position.created")
    assert (event.subject, event.account_id, event.actor) == (f"position:{position.pk}", account.pk, "ada")
    assert (event.payload["entry_price"], event.payload["quantity"]) == ("100.1", "2")
    assert [leg["kind"] for leg in event.payload["legs"]] == ["stop_loss", "take_profit", "trailing_stop"]
    assert LevelChange.objects.get().position_id == position.pk
    assert factories.books_balance(account)


def test_every_leg_knows_its_way_and_since_when(open_position: Callable[..., Position]) -> None:
    at = now()
    legs = (stop("95"), target("110"), trailing("2"), break_even("101", "105"), time_stop(at + timedelta(hours=1)))
    ways = {leg.kind: leg.rises for leg in open_position(*legs, at=at).legs.all()}
    assert ways == {
        "stop_loss": False,
        "take_profit": True,
        "trailing_stop": False,
        "break_even": False,
        "time_stop": False,
    }
    short = open_position(stop("105"), target("90"), trailing("2"), break_even("99", "95"), side="short", at=at)
    assert {leg.kind: leg.rises for leg in short.legs.all()} == {
        "stop_loss": True,
        "take_profit": False,
        "trailing_stop": True,
        "break_even": True,
    }
    assert set(ExitLeg.objects.values_list("since", flat=True)) == {at}


def test_a_leg_that_follows_starts_from_the_price_asked_for_or_asleep(account: Account, instrument: Instrument) -> None:
    factories.set_quote(instrument, "100", bid="99.9", ask="100.2")
    halves = (trailing("2", fraction="0.5"), trailing("3", activation="110", fraction="0.5"))
    position = factories.opened(account, instrument, *halves, break_even("100.5", "105"))
    marks = Watermark.objects.filter(leg__position=position).order_by("leg_id")
    assert [(mark.peak, mark.rides) for mark in marks] == [(Decimal("100.2"), None), (None, None), (None, None)]


@pytest.mark.parametrize(("side", "price"), [("long", "100.2"), ("short", "99.9")])
def test_an_entry_pays_the_ask_or_gets_the_bid(account: Account, instrument: Instrument, side: str, price: str) -> None:
    factories.set_quote(instrument, "100", bid="99.9", ask="100.2")
    assert factories.opened(account, instrument, side=side).entry_price == Decimal(price)


def test_several_positions_may_be_open_at_once_each_with_its_own_way_out(
    open_position: Callable[..., Position],
) -> None:
    first, second, third = open_position(stop("95")), open_position(stop("90")), open_position(side="short")
    assert len({first.pk, second.pk, third.pk}) == 3
    assert factories.leg_of(first, "stop_loss").level != factories.leg_of(second, "stop_loss").level
    assert third.legs.count() == 0


# --- refusals: each stores nothing ----------------------------------------------------------------------------------
REFUSED = {
    "stop on the wrong side": ({}, [stop("101")], "stop_loss"),
    "target on the wrong side": ({}, [target("99")], "take_profit"),
    "short stop on the wrong side": ({"side": "short"}, [stop("99")], "stop_loss"),
    "stop off the grid": ({}, [stop("95.001")], "stop_loss"),
    "no quantity": ({"quantity": "0"}, [], "quantity"),
    "negative quantity": ({"quantity": "-1"}, [], "quantity"),
    "quantity off the lots": ({"quantity": "0.00015"}, [], "quantity"),
    "absurd quantity": ({"quantity": "999999999999999"}, [], "quantity"),
    "quantity that is not a number": ({"quantity": "NaN"}, [], "quantity"),
    "infinite quantity": ({"quantity": "Infinity"}, [], "quantity"),
    "quantity of 1e400": ({"quantity": "1e400"}, [], "quantity"),
    "level that is not a number": ({}, [stop("NaN")], "stop_loss"),
    "trail of nothing": ({}, [trailing("0")], "trailing_stop"),
    "break-even on the wrong side": ({}, [break_even("90", "99")], "break_even"),
    "time stop in the past": ({}, [time_stop(now() - timedelta(days=1))], "time_stop"),
    "fractions of more than all": ({}, [stop("95", "0.7"), stop("90", "0.4")], "stop_loss"),
    "more than the account has": ({"quantity": "10001"}, [], "quantity"),
}


@pytest.mark.parametrize(("more", "legs", "field"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_wish_is_refused_and_stores_nothing(
    account: Account, instrument: Instrument, more: dict, legs: list, field: str
) -> None:
    before = counts()
    with pytest.raises(Refused) as refusal:
        positions.open_position(wish(account, instrument, *legs, **more), now=now())
    assert field in {problem.field for problem in refusal.value.problems}
    assert all(problem.rule and problem.remedy for problem in refusal.value.problems)
    assert counts() == before


def test_every_problem_is_told_at_once(account: Account, instrument: Instrument) -> None:
    wished = wish(account, instrument, stop("101"), target("99"), quantity="20000")
    with pytest.raises(Refused) as refusal:
        positions.open_position(wished, now=now())
    assert {problem.field for problem in refusal.value.problems} == {"stop_loss", "take_profit", "quantity"}


def test_an_absurd_quantity_at_a_high_price_is_refused_too(account: Account, instrument: Instrument) -> None:
    """Its worth has more digits than any amount may have; it must be a refusal and not an arithmetic error."""
    factories.set_quote(instrument, "150000")
    with pytest.raises(Refused):
        positions.open_position(wish(account, instrument, quantity="999999999999999"), now=now())


@pytest.mark.parametrize("age", [None, timedelta(seconds=11)])
def test_without_a_fresh_price_nothing_is_opened(account: Account, age: timedelta | None) -> None:
    instrument = factories.make_instrument(price=None)
    if age is not None:
        factories.set_quote(instrument, "100", at=now() - age)
    with pytest.raises(NoQuote):
        positions.open_position(wish(account, instrument), now=now())
    assert Position.objects.count() == 0


def test_a_heartbeat_keeps_a_quiet_price_fresh(account: Account, instrument: Instrument) -> None:
    quote = factories.set_quote(instrument, "100", at=now() - timedelta(minutes=5))
    quote.heard_at = now()
    quote.save()
    assert factories.opened(account, instrument, at=now()).entry_price == 100


def test_an_instrument_that_is_switched_off_takes_no_entry(account: Account, instrument: Instrument) -> None:
    instrument.enabled = False
    instrument.save()
    with pytest.raises(Refused, match="switched off"):
        positions.open_position(wish(account, instrument), now=now())


def test_an_account_holds_one_currency(account: Account) -> None:
    with pytest.raises(Refused, match="quoted in EUR"):
        positions.open_position(wish(account, factories.make_instrument("BTC-EUR")), now=now())


def test_one_refusal_in_many_stores_none(account: Account, instrument: Instrument) -> None:
    before = counts()
    with pytest.raises(Refused):
        positions.open_many([wish(account, instrument), wish(account, instrument, stop("101"))], now=now())
    assert counts() == before


# --- money ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("side", ["long", "short"])
def test_what_is_bound_in_open_positions_cannot_be_spent_again(instrument: Instrument, side: str) -> None:
    account = factories.make_account(deposit="250")
    for _ in range(2):
        factories.opened(account, instrument, side=side)
    with pytest.raises(Refused, match="the account has 50 free"):
        factories.opened(account, instrument, side=side)


def test_the_fee_must_be_affordable_too(instrument: Instrument) -> None:
    account = factories.make_account(deposit="100", fee_rate="0.01")
    with pytest.raises(Refused, match="needs 101 USD"):
        factories.opened(account, instrument)


def test_many_are_paid_from_one_purse(instrument: Instrument) -> None:
    account = factories.make_account(deposit="250")
    with pytest.raises(Refused):
        factories.many(account, instrument, 3)
    assert len(factories.many(account, instrument, 2)) == 2


# --- once -----------------------------------------------------------------------------------------------------------
def test_a_repeated_request_returns_the_first_position_and_stores_nothing(
    account: Account, instrument: Instrument
) -> None:
    first = positions.open_position(wish(account, instrument, stop("95"), request_key="k1"), now=now())
    before = counts()
    again = positions.open_position(wish(account, instrument, stop("90"), quantity="5", request_key="k1"), now=now())
    assert (again.created, again.position.pk) == (False, first.position.pk)
    assert counts() == before


def test_a_key_is_the_accounts_own(account: Account, instrument: Instrument) -> None:
    other = factories.make_account(factories.make_user("bob"))
    first = factories.opened(account, instrument, request_key="k1")
    assert factories.opened(other, instrument, request_key="k1").pk != first.pk


def test_a_signal_opens_one_position_per_account(account: Account, instrument: Instrument) -> None:
    signal = _signal(instrument)
    first = positions.open_position(wish(account, instrument, signal_id=signal.pk), now=now())
    again = positions.open_position(wish(account, instrument, signal_id=signal.pk), now=now())
    assert (first.created, again.created) == (True, False)
    assert first.position.pk == again.position.pk


def _signal(instrument: Instrument) -> Signal:
    strategy = Strategy.objects.create(name="s", plugin="sma_cross")
    values = {"bar_at": now(), "stance": 1, "price": Decimal(100), "made_at": now()}
    return Signal.objects.create(strategy=strategy, instrument=instrument, **values)


@pytest.mark.django_db(transaction=True)
def test_one_key_under_many_threads_opens_one_position(account: Account, instrument: Instrument) -> None:
    answers, barrier = [], Barrier(6)

    def ask() -> None:
        barrier.wait()
        try:
            answers.append(positions.open_position(wish(account, instrument, request_key="k"), now=now()))
        finally:
            connection.close()

    threads = [Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6
    assert sum(answer.created for answer in answers) == 1
    assert len({answer.position.pk for answer in answers}) == 1
    assert (Position.objects.count(), Fill.objects.count(), Event.objects.filter(kind="position.created").count()) == (
        1,
        1,
        1,
    )
