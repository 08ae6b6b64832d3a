"""What PostgreSQL itself refuses, whoever asks: numbers that are none, contradictions, changed facts."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.apps import apps
from django.db import DataError, IntegrityError, connection, models, transaction

from apps.journal.models import Event
from apps.market.models import Quote
from apps.trading.models import (
    Account,
    Allocation,
    Balance,
    Decision,
    Exit,
    ExitLeg,
    Fill,
    LedgerEntry,
    Order,
    PaperOrder,
    Position,
    RiskMetric,
    Watermark,
)
from tests import factories
from tests.factories import crossing, leg_of, record, stop, target, trailing

pytestmark = pytest.mark.django_db
Open = Callable[..., Position]


def refuses(statement: str, *values: object) -> None:
    with pytest.raises((IntegrityError, DataError)), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)


@pytest.fixture
def everything(open_position: Open) -> Position:
    """A closed and an open position, so that every table of money has a row."""
    factories.cross(open_position(stop("95")).legs.all(), "94")
    position = open_position(stop("95"), trailing("2", fraction="0.5"), trailing("3", activation="110", fraction="0.5"))
    record([crossing(leg_of(position, "stop_loss"), "94", peak="101")])
    Balance.objects.create(account=position.account, currency="USD")
    _orders(position)
    return position


def _orders(position: Position) -> None:
    at = factories.now()
    told = {"buy": True, "kind": "market", "tif": "gtc", "quantity": 1, "limit_price": 1, "stop_price": 1}
    Order.objects.create(
        account=position.account, instrument=position.instrument, purpose="entry", client_id="o", **told
    )
    PaperOrder.objects.create(
        account=position.account,
        client_id="o",
        symbol="BTC-USD",
        status="accepted",
        placed_at=at,
        acts_at=at,
        looked_at=at,
        **told,
    )
    worth = dict.fromkeys(("equity", "cash", "gross", "net", "peak", "day_start", "capital"), 1)
    RiskMetric.objects.create(account=position.account, at=at, **worth)
    Decision.objects.create(
        account=position.account, instrument=position.instrument, side="long", quantity=1, price=1, approved=True
    )


# Tables that append-only triggers guard are tried with an INSERT further down.
MONEY = (Account, Position, ExitLeg, Watermark, Exit, Balance, Quote, Order, PaperOrder, RiskMetric)


@pytest.mark.parametrize("model", MONEY, ids=lambda model: model.__name__)
def test_no_amount_may_be_anything_but_a_number(everything: Position, model: type) -> None:
    del everything
    assert model.objects.exists()
    amounts = [field.column for field in model._meta.get_fields() if isinstance(field, models.DecimalField)]
    for column in amounts:
        for text in ("NaN", "Infinity", "-Infinity"):
            refuses(f"UPDATE {model._meta.db_table} SET {column} = %s::numeric", text)


POSITIONS = {
    "no quantity": "quantity = 0",
    "negative quantity": "quantity = -1",
    "more left than opened": "remaining = quantity + 1",
    "negative rest": "remaining = -1",
    "price of nothing": "entry_price = 0",
    "closed but holding": "status = 'closed'",
    "open but empty": "remaining = 0",
    "open with an end": "closed_at = now()",
    "closed without an end": "status = 'closed', remaining = 0",
    "absurd profit": "realised_pnl = 1e15",
}


@pytest.mark.parametrize("change", POSITIONS.values(), ids=POSITIONS)
def test_a_position_cannot_contradict_itself(open_position: Open, change: str) -> None:
    refuses(f"UPDATE trading_position SET {change} WHERE id = %s", open_position().pk)


LEGS = {
    "no fraction": "fraction = 0",
    "more than all": "fraction = 1.00000001",
    "level of nothing": "level = 0",
    "negative level": "level = -1",
    "negative trail": "trail = -1",
    "negative activation": "activation = -1",
}


@pytest.mark.parametrize("change", LEGS.values(), ids=LEGS)
def test_a_leg_cannot_contradict_itself(open_position: Open, change: str) -> None:
    refuses(f"UPDATE trading_exitleg SET {change} WHERE position_id = %s", open_position(stop("95")).pk)


def test_an_exit_is_done_only_with_a_fill(everything: Position) -> None:
    refuses("UPDATE trading_exit SET status = 'done' WHERE position_id = %s", everything.pk)
    done = "status = 'done', quantity = %s, fill_price = %s, closed_at = now()"
    for quantity, price in ((0, 1), (1, 0), (-1, 1)):
        refuses(f"UPDATE trading_exit SET {done} WHERE position_id = %s", quantity, price, everything.pk)


@pytest.mark.parametrize("status", ["triggered", "claimed", "done"])
def test_a_leg_has_one_exit_that_lives_or_is_done(open_position: Open, status: str) -> None:
    position = open_position(stop("95"))
    leg = leg_of(position, "stop_loss")
    record([crossing(leg, "94")])
    Exit.objects.update(status=status, quantity=1, fill_price=94, closed_at=factories.now())
    refuses(
        "INSERT INTO trading_exit (position_id, leg_id, reason, status, source, actor, note, tick_at, seen_at, late,"
        " epoch) VALUES (%s, %s, 'stop_loss', 'triggered', 'x', '', '', now(), now(), false, 1)",
        position.pk,
        leg.pk,
    )


def test_a_position_has_one_live_exit_without_a_leg(open_position: Open) -> None:
    position = open_position()
    values = {
        "position": position,
        "reason": "api",
        "source": "api",
        "tick_at": factories.now(),
        "seen_at": factories.now(),
    }
    first = Exit.objects.create(**values)
    with pytest.raises(IntegrityError), transaction.atomic():
        Exit.objects.create(**values)
    first.status = "superseded"
    first.save()
    Exit.objects.create(**values)


def test_a_position_is_once_per_request_and_per_signal(open_position: Open) -> None:
    first, second = open_position(request_key="k"), open_position()
    refuses("UPDATE trading_position SET request_key = 'k' WHERE id = %s", second.pk)
    assert first.request_key == "k"


@pytest.mark.parametrize(
    ("cash", "capital"), [("1", "0"), ("1", "-1.000000000001"), ("NaN", "NaN"), ("1e15", "-1e15"), ("Infinity", "0")]
)
def test_a_ledger_line_sums_to_zero_or_is_refused(account: Account, cash: str, capital: str) -> None:
    refuses(
        "INSERT INTO trading_ledgerentry (account_id, currency, kind, cash, holdings, fees, pnl, capital, at)"
        " VALUES (%s, 'USD', 'deposit', %s::numeric, 0, 0, 0, %s::numeric, now())",
        account.pk,
        cash,
        capital,
    )


@pytest.mark.parametrize(
    ("quantity", "price", "fee"), [("0", "1", "0"), ("1", "0", "0"), ("1", "1", "NaN"), ("NaN", "1", "0")]
)
def test_a_fill_is_of_something_at_a_price(open_position: Open, quantity: str, price: str, fee: str) -> None:
    position = open_position()
    refuses(
        "INSERT INTO trading_fill (account_id, instrument_id, position_id, client_id, buy, quantity, price, fee, at)"
        " VALUES (%s, %s, %s, 'other', true, %s::numeric, %s::numeric, %s::numeric, now())",
        position.account_id,
        position.instrument_id,
        position.pk,
        quantity,
        price,
        fee,
    )


def test_a_fill_is_booked_once_per_exit_and_client_id(everything: Position) -> None:
    fill = Fill.objects.exclude(exit=None).get()
    for client_id, exit_id in ((fill.client_id, None), ("other", fill.exit_id)):
        refuses(
            "INSERT INTO trading_fill (account_id, instrument_id, position_id, exit_id, client_id, buy, quantity,"
            " price, fee, at) VALUES (%s, %s, %s, %s, %s, true, 1, 1, 0, now())",
            fill.account_id,
            fill.instrument_id,
            fill.position_id,
            exit_id,
            client_id,
        )


@pytest.mark.parametrize(("fee_paid", "net"), [("NaN", "1"), ("1e15", "1"), ("0", "NaN"), ("0", "0"), ("0", "-1")])
def test_what_a_fill_paid_and_moved_are_numbers(open_position: Open, fee_paid: str, net: str) -> None:
    position = open_position()
    refuses(
        "INSERT INTO trading_fill (account_id, instrument_id, position_id, client_id, buy, quantity, price, fee,"
        " fee_paid, net, at) VALUES (%s, %s, %s, 'other', true, 1, 1, 0, %s::numeric, %s::numeric, now())",
        position.account_id,
        position.instrument_id,
        position.pk,
        fee_paid,
        net,
    )


DUST = {
    "of nothing": ("0", True, False),
    "no number": ("NaN", True, False),
    "of no position": ("1", False, False),
    "no quantity": (None, True, False),
    "of a fill": ("1", True, True),
}


@pytest.mark.parametrize(("quantity", "of_position", "of_fill"), DUST.values(), ids=DUST)
def test_dust_is_a_quantity_of_a_position(
    open_position: Open, quantity: str | None, of_position: bool, of_fill: bool
) -> None:
    position = open_position()
    fill = Fill.objects.get(position=position)
    refuses(
        "INSERT INTO trading_ledgerentry (account_id, currency, kind, cash, holdings, fees, pnl, capital, at,"
        " position_id, quantity, fill_id) VALUES (%s, 'EUR', 'dust', 0, 0, 0, 0, 0, now(), %s, %s::numeric, %s)",
        position.account_id,
        position.pk if of_position else None,
        quantity,
        fill.pk if of_fill else None,
    )


def test_the_dust_of_a_position_is_written_off_once(open_position: Open) -> None:
    position = open_position()
    told = {"account": position.account, "currency": "USD", "kind": "dust", "at": factories.now()}
    LedgerEntry.objects.create(position=position, quantity=1, **told)
    with pytest.raises(IntegrityError), transaction.atomic():
        LedgerEntry.objects.create(position=position, quantity=1, **told)


ORDERS = {
    "of nothing": "quantity = 0",
    "less than nothing": "filled = -1",
    "filled more than was claimed": "filled = 1, claimed = 0.5",
    "no price": "limit_price = 0",
    "a negative price": "stop_price = -1",
    "ended without an end": "status = 'filled'",
    "working with an end": "ended_at = now()",
    "an absurd notional": "notional = 1e15",
}


@pytest.mark.parametrize("change", ORDERS.values(), ids=ORDERS)
def test_an_order_cannot_contradict_itself(everything: Position, change: str) -> None:
    del everything
    refuses(f"UPDATE trading_order SET {change}")


def test_an_exit_has_one_live_order(everything: Position) -> None:
    exit_ = Exit.objects.filter(position=everything).first()
    told = {
        "account": everything.account,
        "instrument": everything.instrument,
        "purpose": "exit",
        "exit": exit_,
        "buy": False,
        "kind": "market",
        "quantity": 1,
    }
    first = Order.objects.create(client_id="x1", **told)
    with pytest.raises(IntegrityError), transaction.atomic():
        Order.objects.create(client_id="x2", **told)
    Order.objects.filter(pk=first.pk).update(status="cancelled", ended_at=factories.now())
    Order.objects.create(client_id="x2", **told)
    with pytest.raises(IntegrityError), transaction.atomic():
        Order.objects.create(client_id="x2", **{**told, "exit": None})


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e15"])
@pytest.mark.parametrize("column", ["quantity", "price"])
def test_a_decision_is_about_numbers(account: Account, open_position: Open, column: str, text: str) -> None:
    numbers = {"quantity": "1", "price": "1", column: text}
    refuses(
        "INSERT INTO trading_decision (account_id, instrument_id, side, approved, reason, verdicts, actor, source,"
        " quantity, price) VALUES (%s, %s, 'long', false, '', '[]', '', '', %s::numeric, %s::numeric)",
        account.pk,
        open_position().instrument_id,
        *numbers.values(),
    )


@pytest.mark.parametrize(("column", "value"), [("fee_rate", "1"), ("fee_rate", "-0.1"), ("slippage_rate", "1.5")])
def test_a_rate_of_an_account_is_a_rate(account: Account, column: str, value: str) -> None:
    refuses(f"UPDATE trading_account SET {column} = {value} WHERE id = %s", account.pk)


# --- facts ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", [Fill, LedgerEntry, Event, Decision], ids=lambda model: model.__name__)
def test_a_fact_is_never_changed_and_never_deleted(everything: Position, model: type) -> None:
    del everything
    assert model.objects.exists()
    table = model._meta.db_table
    for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}"):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_what_money_hangs_on_cannot_be_deleted(everything: Position) -> None:
    for row in (
        everything,
        everything.account,
        everything.instrument,
        everything.legs.first(),
        everything.account.owner,
    ):
        with pytest.raises(models.ProtectedError):
            row.delete()


def test_every_table_of_money_is_tried() -> None:
    """A model that is added with amounts must be tried here too."""
    tried = {*MONEY, Fill, LedgerEntry, Allocation, Decision}
    money = {
        model
        for app in ("trading", "market")
        for model in apps.get_app_config(app).get_models()
        if any(isinstance(field, models.DecimalField) for field in model._meta.get_fields())
    }
    # An instrument has steps, a standing the seconds between two clocks.
    assert {model.__name__ for model in money - tried} == {"Instrument", "Standing"}


def test_a_price_keeps_all_its_digits(open_position: Open) -> None:
    exact = Decimal("123456789012345.123456789012")
    position = open_position()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE trading_position SET realised_pnl = %s WHERE id = %s", [exact, position.pk])
    assert factories.fresh(position).realised_pnl == exact
    assert target("1").level == 1
