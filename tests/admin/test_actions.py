"""What may be done in the admin: each page calls one service, whose refusals come back as errors of the form."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME as CHECKBOX
from django.test import Client
from django.urls import reverse

from apps.access import selectors as tokens
from apps.access import services as access
from apps.access.models import ApiToken, Scope, User
from apps.domain import numbers
from apps.domain.legs import ExitReason, LegKind
from apps.domain.states import ExitStatus, LegStatus, PositionStatus
from apps.journal.models import Event
from apps.market.models import Instrument, Quote
from apps.strategies.models import Strategy
from apps.trading import selectors
from apps.trading.models import Account, Exit, ExitLeg, Position, Watermark
from tests.admin.conftest import close, leg, open_position, price_at

pytestmark = pytest.mark.django_db
OPEN = "/admin/trading/position/add/"


def page_of(position: Position) -> str:
    return reverse("admin:trading_position_change", args=[position.pk])


def errors_of(answer: Any) -> dict[str, str]:
    return {field: " ".join(map(str, found)) for field, found in answer.context["form"].errors.items()}


def live(position: Position) -> dict[str, ExitLeg]:
    return {row.kind: row for row in position.legs.filter(status=LegStatus.LIVE)}


# --- opening --------------------------------------------------------------------------------------------------------
@pytest.fixture
def wish(account: Account, btc: Instrument) -> dict[str, str]:
    return {
        "account": str(account.pk),
        "instrument": str(btc.pk),
        "side": "long",
        "quantity": "0.5",
        "stop_loss": "61000",
        "take_profit": "63000.50",
        "trailing_stop": "1.5%",
        "time_stop": "4h",
        "request_key": "admin-1",
    }


def test_a_position_is_opened_with_its_ways_out_and_once_although_sent_twice(
    desk: Client, wish: dict[str, str]
) -> None:
    before = datetime.now(UTC)
    answers = [desk.post(OPEN, wish) for _ in range(2)]
    position = Position.objects.get()
    assert [answer.url for answer in answers] == [page_of(position)] * 2
    legs = live(position)
    assert legs["stop_loss"].level == 61000
    assert legs["take_profit"].level == Decimal("63000.50")
    assert (legs["trailing_stop"].trail, legs["trailing_stop"].trail_is_rate) == (Decimal("0.015"), True)
    assert timedelta(hours=3, minutes=59) < legs["time_stop"].due_at - before < timedelta(hours=4, minutes=1)
    assert Event.objects.get(kind="position.created").actor == "root"


BAD = {
    "a stop above the price": ({"stop_loss": "62000"}, "stop_loss", "must be below 61800.3"),
    "a stop off the grid": ({"stop_loss": "61000.001"}, "stop_loss", "multiple of the tick size 0.01"),
    "a target below the price": ({"take_profit": "61000"}, "take_profit", "must be above 61800.3"),
    "an underscore": ({"quantity": "1_000"}, "quantity", "not a plain decimal number"),
    "full-width digits": ({"quantity": "\uff11\uff12"}, "quantity", "not a plain decimal number"),
    "NaN": ({"quantity": "NaN"}, "quantity", "not a plain decimal number"),
    "an exponent": ({"stop_loss": "6e4"}, "stop_loss", "not a plain decimal number"),
    "zero": ({"quantity": "0"}, "quantity", "must be greater than 0"),
    "a negative number": ({"quantity": "-1"}, "quantity", "must be greater than 0"),
    "a quantity off the grid": ({"quantity": "0.00005"}, "quantity", "multiple of the lot size 0.0001"),
    "more than the account has": ({"quantity": "5000"}, "quantity", "choose a smaller quantity"),
    "more digits than there are": ({"quantity": "9" * 30}, "quantity", "too large"),
    "no quantity": ({"quantity": ""}, "quantity", "required"),
    "a trail of everything": ({"trailing_stop": "100%"}, "trailing_stop", "less than 100%"),
    "a trail of nothing": ({"trailing_stop": "%"}, "trailing_stop", "not a plain decimal number"),
    "a naive time": ({"time_stop": "2036-01-01T00:00:00"}, "time_stop", "offset"),
    "a time gone by": ({"time_stop": "2020-01-01T00:00:00Z"}, "time_stop", "must be in the future"),
    "a day that is none": ({"time_stop": "2030-02-30T00:00:00Z"}, "time_stop", "2026-12-31T16:00:00Z"),
    "a side that is none": ({"side": "up"}, "side", "Select a valid choice"),
    "an account that is none": ({"account": "999"}, "account", "Select a valid choice"),
}


@pytest.mark.parametrize(("change", "field", "words"), BAD.values(), ids=BAD)
def test_a_bad_value_is_an_error_of_its_field_and_nothing_is_stored(
    desk: Client, wish: dict[str, str], change: dict[str, str], field: str, words: str
) -> None:
    answer = desk.post(OPEN, wish | change)
    assert answer.status_code == 200
    found = errors_of(answer)
    assert words in found[field]
    assert not Position.objects.exists()
    assert words.replace("'", "&#x27;") in answer.content.decode()


def test_every_problem_is_shown_at_once(desk: Client, wish: dict[str, str]) -> None:
    answer = desk.post(OPEN, wish | {"stop_loss": "62000", "take_profit": "61000", "quantity": "0.00005"})
    assert set(errors_of(answer)) == {"stop_loss", "take_profit", "quantity"}


def test_no_fresh_price_is_said_above_the_form(desk: Client, wish: dict[str, str]) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    Quote.objects.update(received_at=long_ago, heard_at=long_ago)
    assert "There is no fresh price for BTC-USD" in errors_of(desk.post(OPEN, wish))["__all__"]
    assert not Position.objects.exists()


# --- amending -------------------------------------------------------------------------------------------------------
def amend(desk: Client, position: Position, **changes: str) -> Any:
    form = desk.get(page_of(position)).context["form"]
    given = {name: form[name].value() for name in form.fields}
    given = {name: "" if value is None else str(value) for name, value in given.items()}
    return desk.post(reverse("admin:trading_position_amend", args=[position.pk]), given | changes)


def test_only_the_ways_out_that_were_changed_are_replaced(desk: Client, position: Position) -> None:
    before = live(position)
    answer = amend(desk, position, stop_loss="61200", take_profit="", time_stop="2036-01-01T00:00:00+02:00")
    assert answer.url == page_of(position)
    after = live(position)
    assert after["stop_loss"].level == 61200
    assert "take_profit" not in after
    assert after["trailing_stop"].pk == before["trailing_stop"].pk, "its best price would be lost"
    assert after["time_stop"].due_at == datetime(2035, 12, 31, 22, tzinfo=UTC)
    assert Event.objects.get(kind="position.amended").actor == "root"


def test_nothing_changed_changes_nothing(desk: Client, position: Position) -> None:
    amend(desk, position)
    assert not Event.objects.filter(kind="position.amended").exists()


def test_a_break_even_stop_rests_at_the_entry(desk: Client, position: Position) -> None:
    amend(desk, position, break_even="62500")
    found = live(position)["break_even"]
    assert (found.activation, found.level) == (Decimal(62500), position.entry_price)


def test_a_bad_level_comes_back_on_the_position_with_its_error(desk: Client, position: Position) -> None:
    answer = amend(desk, position, stop_loss="70000", take_profit="x")
    assert answer.status_code == 200
    assert "not a plain decimal number" in errors_of(answer)["take_profit"]
    answer = amend(desk, position, stop_loss="70000")
    assert "must be below" in errors_of(answer)["stop_loss"]
    assert 'value="70000"' in answer.content.decode(), "what was entered is kept"
    assert live(position)["stop_loss"].level == 61000


def test_several_legs_of_a_kind_stay_unless_they_are_replaced(desk: Client, account: Account, btc: Instrument) -> None:
    halves = [leg(LegKind.TAKE_PROFIT, level=Decimal(price), fraction=Decimal("0.5")) for price in (63000, 64000)]
    position = open_position(account, btc, *halves)
    assert "Several legs" in desk.get(page_of(position)).content.decode()
    amend(desk, position, stop_loss="61000")
    assert position.legs.filter(status=LegStatus.LIVE, kind="take_profit").count() == 2
    amend(desk, position, take_profit="65000")
    assert live(position)["take_profit"].level == 65000
    assert position.legs.filter(status=LegStatus.LIVE, kind="take_profit").count() == 1


# --- closing --------------------------------------------------------------------------------------------------------
def test_a_position_is_closed_at_the_market_after_a_reason(desk: Client, position: Position) -> None:
    address = reverse("admin:trading_position_close", args=[position.pk])
    assert b"Close at the market" in desk.get(address).content
    assert "required" in errors_of(desk.post(address, {"note": ""}))["note"]
    assert not Exit.objects.exists()
    assert desk.post(address, {"note": "going on holiday"}).url == page_of(position)
    asked = Exit.objects.get()
    assert (asked.reason, asked.source, asked.actor, asked.note) == (
        ExitReason.MANUAL,
        "admin",
        "root",
        "going on holiday",
    )
    assert asked.status == ExitStatus.TRIGGERED


def test_chosen_positions_are_closed_only_after_the_confirmation(
    desk: Client, account: Account, btc: Instrument
) -> None:
    rows = [open_position(account, btc) for _ in range(3)]
    close(rows[2])
    chosen = {"action": "close_at_market", CHECKBOX: [row.pk for row in rows]}
    address = reverse("admin:trading_position_changelist")
    asked = desk.post(address, chosen)
    assert asked.status_code == 200
    assert "Close 2 positions at the market" in asked.content.decode()
    assert Exit.objects.filter(reason=ExitReason.MANUAL).count() == 0
    answer = desk.post(address, chosen | {"confirm": "yes", "note": "enough"}, follow=True)
    assert "2 exits requested" in answer.content.decode()
    assert {row.position_id for row in Exit.objects.filter(reason=ExitReason.MANUAL)} == {rows[0].pk, rows[1].pk}


def test_a_second_close_names_the_first_exit(desk: Client, position: Position) -> None:
    address = reverse("admin:trading_position_close", args=[position.pk])
    desk.post(address, {"note": "first"})
    answer = desk.post(address, {"note": "second"}, follow=True)
    assert f"#{position.pk} (exit {Exit.objects.get().pk})" in answer.content.decode()


# --- the position's page --------------------------------------------------------------------------------------------
def test_the_page_shows_where_each_leg_stands(desk: Client, account: Account, btc: Instrument) -> None:
    first = open_position(account, btc, leg(LegKind.TRAILING_STOP, trail=Decimal(100)))
    second = open_position(
        account,
        btc,
        leg(LegKind.TRAILING_STOP, trail=Decimal("0.01"), trail_is_rate=True),
        leg(LegKind.BREAK_EVEN, activation=Decimal(63000), level=Decimal(61810)),
        leg(LegKind.STOP_LOSS, level=Decimal("60000.5")),
    )
    root, rider = first.legs.get(), second.legs.get(kind=LegKind.TRAILING_STOP)
    middle = open_position(account, btc, leg(LegKind.TRAILING_STOP, trail=Decimal(50))).legs.get()
    Watermark.objects.filter(leg=root).update(peak=Decimal(62000))
    Watermark.objects.filter(leg=middle).update(rides=root.pk)
    Watermark.objects.filter(leg=rider).update(rides=middle.pk)
    price_at(btc, "61900")
    ways = {way.leg.kind: way for way in desk.get(page_of(second)).context["ways_out"]}
    assert ways["trailing_stop"].level == Decimal("61380")
    assert ways["trailing_stop"].how == "1 % behind the best price 62000"
    assert ways["trailing_stop"].away == (Decimal(61900) - Decimal(61380)) / Decimal(61900)
    assert ways["break_even"].level is None
    assert ways["break_even"].how == "asleep, wakes at 63000"
    assert ways["stop_loss"].level == Decimal("60000.5")
    Watermark.objects.filter(leg=root).update(peak=Decimal(63100))
    Watermark.objects.filter(leg=second.legs.get(kind=LegKind.BREAK_EVEN)).update(rides=root.pk)
    ways = {way.leg.kind: way for way in desk.get(page_of(second)).context["ways_out"]}
    assert ways["break_even"].level == 61810


def test_the_page_of_a_closed_position_tells_how_it_was_left_and_how_fast(desk: Client, position: Position) -> None:
    close(position)
    answer = desk.get(page_of(position))
    leaving = answer.context["leavings"][0]
    assert leaving.tick_to_close_ms == selectors.tick_to_close_ms(Exit.objects.get())
    assert [step.name for step in leaving.steps] == [
        "price arrived",
        "crossing seen",
        "exit stored",
        "taken by a worker",
        "fill booked",
        "committed",
    ]
    assert all(earlier.at <= later.at for earlier, later in zip(leaving.steps, leaving.steps[1:], strict=False))
    page = answer.content.decode()
    assert "Opened long 0.5 BTC-USD" in page
    assert "Closed by api" in page
    assert "Change the ways out" not in page
    assert len(answer.context["fills"]) == 2
    assert len(answer.context["ledger"]) == 2
    assert ".000000" not in page
    closed = Position.objects.get()
    assert f">{numbers.plain(closed.exit_price)}<" in page


# --- the other pages ------------------------------------------------------------------------------------------------
def test_an_account_is_opened_with_a_deposit_and_paid_in_to(desk: Client, root: User) -> None:
    address = reverse("admin:trading_account_add")
    desk.post(address, {"owner": root.pk, "name": "second", "amount": "2500.5"})
    account = Account.objects.get(name="second")
    assert selectors.balances([account.pk])[account.pk][0].cash == Decimal("2500.5")
    again = desk.post(address, {"owner": root.pk, "name": "second", "amount": "1"})
    assert "choose another name" in errors_of(again)["name"]
    pay = reverse("admin:trading_account_pay_in", args=[account.pk])
    assert "eight decimals" in errors_of(desk.post(pay, {"amount": "0.123456789"}))["amount"]
    desk.post(pay, {"amount": "100"})
    assert selectors.balances([account.pk])[account.pk][0].cash == Decimal("2600.5")
    page = desk.get(reverse("admin:trading_account_changelist")).content.decode()
    assert "2600.5" in page


def test_costs_of_an_account_are_changed_and_written_down(desk: Client, account: Account) -> None:
    given = {"name": "paper", "fee_rate": "0.002", "fee_fixed": "0", "slippage_rate": "0", "slippage_fixed": "0"}
    given["change_reason"] = "the venue is dearer now"
    address = reverse("admin:trading_account_change", args=[account.pk])
    assert "not a plain" in str(desk.post(address, given | {"fee_rate": "1e-3"}).context["adminform"].form.errors)
    assert desk.post(address, given).status_code == 302
    account.refresh_from_db()
    assert account.fee_rate == Decimal("0.002")
    assert Event.objects.get(kind="account.changed").payload["changes"]["fee_rate"] == "0.002"


INSTRUMENT = {
    "symbol": "ETH-USD",
    "base_currency": "ETH",
    "quote_currency": "USD",
    "tick_size": "0.01",
    "lot_size": "0.001",
    "min_quantity": "0.002",
    "max_quantity": "1000",
    "feed": "coinbase",
    "shard": "0",
    "calendar": "24/7",
    "jump_band": "0.2",
    "enabled": "on",
    "change_reason": "a test",
}
BAD_INSTRUMENTS = {
    "small letters": ({"symbol": "eth"}, "symbol", "Use capitals"),
    "a step of nothing": ({"tick_size": "0"}, "__all__", "tick_size"),
    "a step with an underscore": ({"tick_size": "1_0"}, "tick_size", "not a plain decimal number"),
    "a quantity off the grid": ({"min_quantity": "0.0015"}, "min_quantity", "multiple of the lot size"),
    "limits the wrong way round": ({"max_quantity": "0.001"}, "max_quantity", "at least the smallest quantity"),
    "a feed that is none": ({"feed": "tea-leaves"}, "feed", "Select a valid choice"),
    "a shard nobody watches": ({"shard": "7"}, "shard", "has no listener"),
}


def test_an_instrument_is_added_changed_and_written_down(desk: Client) -> None:
    assert desk.post(reverse("admin:market_instrument_add"), INSTRUMENT).status_code == 302
    eth = Instrument.objects.get(symbol="ETH-USD")
    address = reverse("admin:market_instrument_change", args=[eth.pk])
    assert 'value="0.01"' in desk.get(address).content.decode(), "steps are shown without trailing zeros"
    assert desk.post(address, INSTRUMENT | {"tick_size": "0.05", "symbol": "XXX"}).status_code == 302
    eth.refresh_from_db()
    assert (eth.tick_size, eth.symbol) == (Decimal("0.05"), "ETH-USD")
    assert Event.objects.get(kind="instrument.changed").payload["changes"] == {"tick_size": "0.05"}


@pytest.mark.parametrize(("change", "field", "words"), BAD_INSTRUMENTS.values(), ids=BAD_INSTRUMENTS)
def test_a_bad_instrument_is_not_stored(desk: Client, change: dict[str, str], field: str, words: str) -> None:
    answer = desk.post(reverse("admin:market_instrument_add"), INSTRUMENT | change)
    assert words in " ".join(map(str, answer.context["adminform"].form.errors[field]))
    assert not Instrument.objects.exists()


def test_a_strategy_is_judged_by_its_plug_in(desk: Client, btc: Instrument, account: Account) -> None:
    given = {
        "name": "trend",
        "plugin": "sma_cross",
        "parameter_fast": "5",
        "parameter_slow": "20",
        "bar_seconds": "60",
        "instruments": [btc.pk],
        "allocations-TOTAL_FORMS": "1",
        "allocations-INITIAL_FORMS": "0",
        "allocations-0-account": account.pk,
        "allocations-0-notional": "1000",
        "allocations-0-max_lots": "1",
        "allocations-0-sides": "both",
        "allocations-0-entries": "change",
        "allocations-0-stop_loss": "0.01",
        "allocations-0-enabled": "on",
    }
    address = reverse("admin:strategies_strategy_add")
    for bad in ("30", "0", "x", "1.5", ""):  # 30 is a number of bars, but not fewer than the slow one's
        answer = desk.post(address, given | {"parameter_fast": bad})
        assert "parameter_fast" in answer.context["adminform"].form.errors, bad
    assert not Strategy.objects.exists()
    assert desk.post(address, given).status_code == 302
    strategy = Strategy.objects.get()
    assert strategy.parameters == {"fast": 5}
    assert strategy.allocations.get().stop_loss == Decimal("0.01")


def test_a_token_is_shown_once_and_can_be_revoked(
    desk: Client, root: User, staff: Callable[..., tuple[User, Client]]
) -> None:
    given = {"user": root.pk, "scope": "trade", "name": "bot", "expires_days": "30"}
    answer = desk.post(reverse("admin:access_apitoken_add"), given)
    text = answer.context["text"]
    assert "no-store" in answer["Cache-Control"]
    assert text in answer.content.decode()
    row = tokens.token_of(text)
    assert row is not None
    assert (row.scope, row.name, row.user_id) == (Scope.TRADE, "bot", root.pk)
    for address in (
        reverse("admin:access_apitoken_changelist"),
        reverse("admin:access_apitoken_change", args=[row.pk]),
    ):
        assert text not in desk.get(address).content.decode()
        assert row.digest not in desk.get(address).content.decode()
    desk.post(reverse("admin:access_apitoken_changelist"), {"action": "revoke", CHECKBOX: [row.pk]})
    row.refresh_from_db()
    assert row.revoked_at is not None
    clerk, browser = staff("clerk", "access.add_apitoken", "access.view_apitoken")
    browser.post(reverse("admin:access_apitoken_add"), given)
    assert not ApiToken.objects.filter(name="bot").exclude(pk=row.pk).exists(), "a token for somebody else"
    mine = access.create_token(user=clerk, scope=Scope.READ, now=datetime.now(UTC)).token
    page = browser.get(reverse("admin:access_apitoken_changelist")).content.decode()
    assert mine.prefix in page
    assert row.prefix not in page


def test_closing_says_so_in_the_books(desk: Client, position: Position) -> None:
    close(position)
    position.refresh_from_db()
    assert position.status == PositionStatus.CLOSED
    page = desk.get(reverse("admin:trading_position_changelist")).content.decode()
    assert "\u25b2 long" in page
